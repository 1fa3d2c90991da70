//! Conversations, stored turn by turn, each with a booking.

use teppan_shared::contract::{
    booking::v1::{Booking, Contact, CreateBookingRequest, Venue},
    conversation::v1::{Emotion, Role, StoreMessageRequest},
};
use teppan_tests::tool::{Trace, millis};
use uuid::Uuid;

use super::venue::Venues;
use crate::{
    journal::{Failed, say},
    script::{CHATS, Chat, Turn},
    show,
    stage::{Stage, saturday},
};

/// The column at which the text of a turn starts.
const TEXT_COLUMN: usize = 15;

/// A completed conversation, with everything that a client must keep for a retry.
pub struct Talk {
    pub trace: Trace,
    pub conversation_id: String,
    pub messages: Vec<StoreMessageRequest>,
    pub request: CreateBookingRequest,
    pub booking: Booking,
}

pub async fn play(stage: &mut Stage, venues: &Venues) -> Result<Vec<Talk>, Failed> {
    stage.journal.open_act("Conversations", "Three guests talk with the assistant");
    let mut talks = Vec::new();
    for chat in &CHATS {
        let venue = if chat.is_canteen { &venues.canteen } else { &venues.garden };
        talks.push(talk(stage, venue, chat).await?);
    }
    Ok(talks)
}

async fn talk(stage: &mut Stage, venue: &Venue, chat: &Chat) -> Result<Talk, Failed> {
    // One trace covers the first message, the booking, and the background work.
    let trace = Trace::start();
    let conversation_id = format!("demo-{}-{}", stage.run, chat.id);
    let screen = stage.journal.screen;
    say(format!("\n  {}  {}", screen.accent(chat.title), screen.dim(format!("trace {}", trace.id()))));
    let request = booking_request(stage, venue, chat, &conversation_id);
    let (mut messages, mut booking) = (Vec::new(), None);
    for turn in chat.turns {
        let message = match turn {
            Turn::Guest(score, label, text) => guest_message(chat, *score, label, text),
            Turn::Assistant(text) => message(chat, Role::Assistant, text),
            Turn::Book => {
                booking = Some(book(stage, trace, &request).await?);
                continue;
            }
        };
        let content = filled(&message.content, booking.as_ref());
        let message = StoreMessageRequest { conversation_id: conversation_id.clone(), content, ..message };
        store(stage, trace, &message).await?;
        messages.push(message);
    }
    let booking = booking.ok_or_else(|| Failed::new("Conversation", "the script has no booking"))?;
    Ok(Talk { trace, conversation_id, messages, request, booking })
}

fn message(chat: &Chat, role: Role, text: &str) -> StoreMessageRequest {
    StoreMessageRequest {
        message_id: Uuid::new_v4().to_string(),
        role: role.into(),
        content: text.to_owned(),
        channel: chat.channel.into(),
        ..Default::default()
    }
}

fn guest_message(chat: &Chat, score: f64, label: &str, text: &str) -> StoreMessageRequest {
    let emotion = Emotion { score: Some(score), label: label.to_owned(), detected: vec![label.to_owned()] };
    StoreMessageRequest { emotion: Some(emotion), ..message(chat, Role::User, text) }
}

/// The text with the values that are known so far.
fn filled(text: &str, booking: Option<&Booking>) -> String {
    let text = text.replace("{when}", &show::day(&saturday().to_string()));
    match booking {
        Some(booking) => text
            .replace("{code}", &booking.confirmation_code)
            .replace("{deposit}", &show::money(booking.deposit_cents, &booking.currency)),
        None => text,
    }
}

async fn store(stage: &mut Stage, trace: Trace, message: &StoreMessageRequest) -> Result<(), Failed> {
    let answer = stage.clients.conversations.store_message(trace.carry(message.clone()));
    let (_, took) = stage.journal.call("StoreMessage", answer).await?;
    let screen = stage.journal.screen;
    let who = if message.role() == Role::User { "guest" } else { "assistant" };
    let emotion = message.emotion.as_ref().map(|emotion| format!("{:.2} {}, ", emotion.score(), emotion.label));
    let aside = format!("({}{})", emotion.unwrap_or_default(), millis(took));
    let text = show::wrapped(&message.content, TEXT_COLUMN);
    say(format!("    {who:<9}  {text} {}", screen.dim(aside)));
    Ok(())
}

fn booking_request(stage: &Stage, venue: &Venue, chat: &Chat, conversation_id: &str) -> CreateBookingRequest {
    CreateBookingRequest {
        idempotency_key: stage.key(chat.id),
        venue_id: venue.venue_id.clone(),
        date: saturday().to_string(),
        start_time: chat.start_time.to_owned(),
        party_size: chat.party_size,
        contact: Some(Contact {
            name: chat.guest.name.to_owned(),
            email: chat.guest.email.to_owned(),
            phone: chat.guest.phone.to_owned(),
        }),
        conversation_id: conversation_id.to_owned(),
        special_requests: chat.wish.to_owned(),
        source: "demo".to_owned(),
        ..Default::default()
    }
}

async fn book(stage: &mut Stage, trace: Trace, request: &CreateBookingRequest) -> Result<Booking, Failed> {
    const CREATE: &str = "CreateBooking";
    let answer = stage.clients.bookings.create_booking(trace.carry(request.clone()));
    let (answer, took) = stage.journal.call(CREATE, answer).await?;
    let booking = answer.booking.ok_or_else(|| Failed::new(CREATE, "the answer has no booking"))?;
    show::booking(stage.journal.screen, &booking, took);
    Ok(booking)
}
