//! The dialogues, each turn by turn, many at once.

use std::sync::Arc;

use teppan_shared::contract::{
    booking::v1::{Contact, CreateBookingRequest},
    conversation::v1::{Channel, Emotion, Role, StoreMessageRequest},
};
use teppan_tests::tool::Trace;

use crate::{
    Run,
    calls::{Caller, Failure, Method, request},
    concurrently,
    connections::Clients,
    dialogues::Speaker,
    plan::Plan,
    prepare::wire_time,
    progress::Progress,
};

/// How one dialogue went.
pub struct Played {
    /// The booking it came to.
    pub booking_id: Option<String>,
    /// Why it was not played to its end.
    pub failure: Option<Failure>,
}

/// Plays every dialogue; the outcomes are in the order of the plan.
///
/// A dialogue ends at the first call that fails for good, as a customer's would; the others go on.
pub async fn dialogues(run: &Run, venue_ids: &Arc<Vec<String>>) -> Vec<Played> {
    let progress = Progress::start("Playing dialogues", run.plan.turns() + run.plan.bookings.len());
    let played = concurrently::each(run.plan.dialogues.len(), run.concurrency, |index| {
        let dialogue = DialogueRun {
            index,
            plan: Arc::clone(&run.plan),
            venue_ids: Arc::clone(venue_ids),
            caller: run.caller.clone(),
            clients: run.connections.of(index),
            progress: progress.clone(),
            trace: Trace::start(),
        };
        dialogue.play()
    });
    let played = played.await;
    progress.finish();
    played
}

/// One dialogue on its way.
struct DialogueRun {
    index: usize,
    plan: Arc<Plan>,
    venue_ids: Arc<Vec<String>>,
    caller: Caller,
    clients: Clients,
    progress: Progress,
    trace: Trace,
}

impl DialogueRun {
    async fn play(self) -> Played {
        let mut booking_id = None;
        let failure = self.turns(&mut booking_id).await.err();
        Played { booking_id, failure }
    }

    async fn turns(&self, booking_id: &mut Option<String>) -> Result<(), Failure> {
        let dialogue = &self.plan.dialogues[self.index];
        for turn in 0..dialogue.turns.len() {
            // The assistant books, then says that it has.
            if turn == dialogue.reserved_at_turn {
                *booking_id = Some(self.book().await?);
                self.progress.advance(1);
            }
            self.store(turn).await?;
            self.progress.advance(1);
        }
        Ok(())
    }

    async fn store(&self, turn: usize) -> Result<(), Failure> {
        let message = message(&self.plan, self.index, turn);
        let stored = self.caller.call(Method::StoreMessage, || {
            let (mut conversations, message) = (self.clients.conversations.clone(), message.clone());
            async move { conversations.store_message(request(self.trace, message)).await }
        });
        stored.await.map(drop)
    }

    async fn book(&self) -> Result<String, Failure> {
        let booking = booking(&self.plan, self.index, &self.venue_ids);
        let made = self.caller.call(Method::CreateBooking, || {
            let (mut bookings, booking) = (self.clients.bookings.clone(), booking.clone());
            async move { bookings.create_booking(request(self.trace, booking)).await }
        });
        made.await.map(|made| made.booking.unwrap_or_default().booking_id)
    }
}

/// The message of a turn: the same each time it is asked for.
pub fn message(plan: &Plan, dialogue: usize, turn: usize) -> StoreMessageRequest {
    let said = &plan.dialogues[dialogue].turns[turn];
    let role = match said.role {
        Speaker::User => Role::User,
        Speaker::Assistant => Role::Assistant,
    };
    StoreMessageRequest {
        conversation_id: plan.conversation(dialogue),
        message_id: plan.run.message(dialogue, turn).to_string(),
        role: role.into(),
        content: said.text.clone(),
        channel: Channel::Web.into(),
        user_id: format!("replay-guest-{dialogue}"),
        emotion: said.emotion.map(|score| Emotion { score: Some(score), ..Default::default() }),
        ..Default::default()
    }
}

/// The booking of a dialogue: the same each time it is asked for. The guests are made up; the
/// guest of a dialogue comes again in every run, as regular ones do.
pub fn booking(plan: &Plan, dialogue: usize, venue_ids: &[String]) -> CreateBookingRequest {
    let planned = &plan.bookings[dialogue];
    CreateBookingRequest {
        idempotency_key: plan.run.key("booking", &plan.dialogues[dialogue].dialogue_id),
        venue_id: venue_ids[planned.venue].clone(),
        date: planned.slot.0.to_string(),
        start_time: wire_time(planned.slot.1),
        party_size: planned.party_size,
        contact: Some(Contact {
            name: format!("Guest {dialogue}"),
            email: format!("replay-guest-{dialogue}@example.org"),
            phone: String::new(),
        }),
        conversation_id: plan.conversation(dialogue),
        source: "replay".to_owned(),
        ..Default::default()
    }
}
