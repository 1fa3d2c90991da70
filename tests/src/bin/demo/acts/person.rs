//! What a model gets of a long conversation, and what a data protection officer does: redact, export, erase.

use teppan_shared::contract::{
    booking::v1::{Booking, EraseCustomerRequest, ExportCustomerRequest, GetBookingRequest},
    conversation::v1::{GetContextWindowRequest, GetConversationRequest, Message, RedactMessageRequest},
};
use teppan_tests::tool::millis;
use tonic::Code;

use super::{conversations::Talk, wait::until_shown};
use crate::{
    journal::{Failed, say},
    stage::Stage,
};

const WINDOW: &str = "GetContextWindow";
const REDACT: &str = "RedactMessage";
const EXPORT: &str = "ExportCustomer";
const ERASE: &str = "EraseCustomer";
/// The tokens that the model has room for.
const TOKENS_MAX: i32 = 60;

/// `leaver` is a cancelled booking, whose customer wants to be forgotten.
pub async fn play(stage: &mut Stage, talk: &Talk, leaver: &Booking) -> Result<(), Failed> {
    stage.journal.open_act("The person", "What a model gets, and what a person may ask for");
    let newest = context_window(stage, talk).await?;
    redact(stage, talk, &newest).await?;
    export(stage, leaver).await?;
    erase(stage, leaver).await
}

/// Returns the newest message of the window.
async fn context_window(stage: &mut Stage, talk: &Talk) -> Result<Message, Failed> {
    let request = GetContextWindowRequest {
        conversation_id: talk.conversation_id.clone(),
        max_tokens: TOKENS_MAX,
        ..Default::default()
    };
    let answer = stage.clients.conversations.get_context_window(request);
    let (window, took) = stage.journal.call(WINDOW, answer).await?;
    if window.total_tokens > TOKENS_MAX.into() || !window.truncated {
        return Err(Failed::new(WINDOW, "it has more than fits, or everything"));
    }
    let screen = stage.journal.screen;
    say(format!(
        "    {}    the newest {} of {} messages fit into {TOKENS_MAX} tokens, with {}{}  {}",
        screen.good("window"),
        window.messages.len(),
        window.message_count,
        window.total_tokens,
        if window.tokens_estimated { " (estimated)" } else { "" },
        screen.dim(millis(took)),
    ));
    window.messages.into_iter().last().ok_or_else(|| Failed::new(WINDOW, "it is empty"))
}

async fn redact(stage: &mut Stage, talk: &Talk, message: &Message) -> Result<(), Failed> {
    let request =
        RedactMessageRequest { conversation_id: talk.conversation_id.clone(), message_id: message.message_id.clone() };
    let answer = stage.clients.conversations.redact_message(request);
    let (answer, took) = stage.journal.call(REDACT, answer).await?;
    let redacted = answer.message.unwrap_or_default();
    if !redacted.content.is_empty() || redacted.sequence != message.sequence {
        return Err(Failed::new(REDACT, "the text is still there, or the message has moved"));
    }
    let screen = stage.journal.screen;
    say(format!(
        "    {}  message {} keeps its number, and its text is gone for good  {}",
        screen.good("redacted"),
        redacted.sequence,
        screen.dim(millis(took)),
    ));
    Ok(())
}

async fn export(stage: &mut Stage, leaver: &Booking) -> Result<(), Failed> {
    let request = ExportCustomerRequest { customer_id: leaver.customer_id.clone(), ..Default::default() };
    let answer = stage.clients.customers.export_customer(request);
    let (export, took) = stage.journal.call(EXPORT, answer).await?;
    let payments: usize = export.bookings.iter().map(|booking| booking.payments.len()).sum();
    if export.customer.and_then(|customer| customer.contact).is_none() || payments == 0 {
        return Err(Failed::new(EXPORT, "the contact or the payments are missing"));
    }
    let screen = stage.journal.screen;
    say(format!(
        "    {}  contact, {} booking, {payments} payments; `booking-service export-customer` adds the conversations  {}",
        screen.good("exported"),
        export.bookings.len(),
        screen.dim(millis(took)),
    ));
    Ok(())
}

async fn erase(stage: &mut Stage, leaver: &Booking) -> Result<(), Failed> {
    let request = EraseCustomerRequest { customer_id: leaver.customer_id.clone() };
    let answer = stage.clients.customers.erase_customer(request);
    let (erased, took) = stage.journal.call(ERASE, answer).await?;
    let get = GetBookingRequest { booking_id: leaver.booking_id.clone(), ..Default::default() };
    let answer = stage.clients.bookings.get_booking(get);
    let (kept, _) = stage.journal.call("GetBooking", answer).await?;
    let kept = kept.booking.unwrap_or_default();
    if kept.contact.is_some() || kept.total_cents != leaver.total_cents {
        return Err(Failed::new(ERASE, "the booking has a contact, or lost its figures"));
    }
    let conversation_id = leaver.conversation_id.clone();
    until_shown(ERASE, async || {
        let get = GetConversationRequest { conversation_id: conversation_id.clone() };
        match stage.clients.conversations.get_conversation(get).await {
            Err(status) if status.code() == Code::NotFound => Ok(Some(())),
            Err(status) => Err(Failed::new("GetConversation", status.message())),
            Ok(_) => Ok(None),
        }
    })
    .await?;
    let screen = stage.journal.screen;
    say(format!(
        "    {}    contact, wishes and conversation are gone; {} booking stays in the books without a name  {}",
        screen.good("erased"),
        erased.bookings_kept,
        screen.dim(millis(took)),
    ));
    Ok(())
}
