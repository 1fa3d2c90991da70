//! Reads everything back from the services, as another instance of the assistant would.

use teppan_shared::contract::{booking::v1::GetBookingRequest, conversation::v1::ListMessagesRequest};

use super::conversations::Talk;
use crate::{
    journal::{Failed, say},
    stage::Stage,
};

pub async fn play(stage: &mut Stage, talks: &[Talk]) -> Result<(), Failed> {
    stage.journal.open_act("Read back", "What is stored, read back");
    for talk in talks {
        let messages = messages(stage, talk).await?;
        let code = booking(stage, talk).await?;
        let id = &talk.conversation_id;
        say(format!("    {id:<24} {messages} messages, in order and each once; booking {code}"));
    }
    Ok(())
}

async fn messages(stage: &mut Stage, talk: &Talk) -> Result<usize, Failed> {
    const CALL: &str = "ListMessages";
    let request = ListMessagesRequest { conversation_id: talk.conversation_id.clone(), ..Default::default() };
    let answer = stage.clients.conversations.list_messages(talk.trace.carry(request));
    let (page, _) = stage.journal.call(CALL, answer).await?;
    let stored = page.messages.iter().map(|message| (message.sequence, &message.message_id, &message.content));
    let sent = (1..).zip(&talk.messages).map(|(sequence, sent)| (sequence, &sent.message_id, &sent.content));
    if !stored.eq(sent) {
        return Err(Failed::new(CALL, format!("{} has other messages than were sent", talk.conversation_id)));
    }
    Ok(page.messages.len())
}

async fn booking(stage: &mut Stage, talk: &Talk) -> Result<String, Failed> {
    const CALL: &str = "GetBooking";
    let confirmation_code = talk.booking.confirmation_code.clone();
    let request = GetBookingRequest { confirmation_code, ..Default::default() };
    let answer = stage.clients.bookings.get_booking(talk.trace.carry(request));
    let (found, _) = stage.journal.call(CALL, answer).await?;
    let booking = found.booking.unwrap_or_default();
    if booking.booking_id != talk.booking.booking_id || booking.conversation_id != talk.conversation_id {
        return Err(Failed::new(CALL, "the booking differs from the one that was made"));
    }
    Ok(booking.confirmation_code)
}
