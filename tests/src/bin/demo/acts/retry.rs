//! The assistant lost an answer, and sends the same calls again.

use teppan_tests::tool::millis;

use super::conversations::Talk;
use crate::{
    journal::{Failed, say},
    stage::Stage,
};

pub async fn play(stage: &mut Stage, talk: &Talk) -> Result<(), Failed> {
    stage.journal.open_act("A retry", "The same calls again, as after a lost answer");
    same_booking(stage, talk).await?;
    same_message(stage, talk).await
}

async fn same_booking(stage: &mut Stage, talk: &Talk) -> Result<(), Failed> {
    const CALL: &str = "CreateBooking, the same again";
    let answer = stage.clients.bookings.create_booking(talk.trace.carry(talk.request.clone()));
    let (again, took) = stage.journal.call(CALL, answer).await?;
    let booking = again.booking.unwrap_or_default();
    if !again.replayed || booking.booking_id != talk.booking.booking_id {
        return Err(Failed::new(CALL, "it made another booking instead of returning the first"));
    }
    let screen = stage.journal.screen;
    let (code, took) = (screen.bold(&booking.confirmation_code), screen.dim(millis(took)));
    say(format!("    the same key and request: the same booking {code}, replayed, no seats taken  {took}"));
    Ok(())
}

async fn same_message(stage: &mut Stage, talk: &Talk) -> Result<(), Failed> {
    const CALL: &str = "StoreMessage, the same again";
    let message = talk.messages.first().cloned().unwrap_or_default();
    let answer = stage.clients.conversations.store_message(talk.trace.carry(message));
    let (again, took) = stage.journal.call(CALL, answer).await?;
    let sequence = again.message.unwrap_or_default().sequence;
    if !again.replayed || sequence != 1 {
        return Err(Failed::new(CALL, "it stored the message twice"));
    }
    let took = stage.journal.screen.dim(millis(took));
    say(format!("    the same message id: still message {sequence}, replayed, stored once  {took}"));
    Ok(())
}
