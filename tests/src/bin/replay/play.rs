//! Plays the dialogues, each turn by turn, many concurrently.

use std::{ops::Range, sync::Arc};

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
    lag::{Lags, VisibleResult, Work},
    plan::Plan,
    prepare::wire_time,
    progress::Progress,
    rate_limiter::RateLimiter,
};

/// The outcome of one dialogue.
pub struct Played {
    /// The booking that was made.
    pub booking_id: Option<String>,
    /// The failure that ended the dialogue early.
    pub failure: Option<Failure>,
}

/// Some of the dialogues, and how they are played.
pub struct Phase {
    pub title: &'static str,
    /// Indices of dialogues in the plan.
    pub dialogues: Range<usize>,
    pub caller: Caller,
    pub rate_limiter: RateLimiter,
    /// Where the lag of the background work is recorded.
    pub lags: Option<Lags>,
}

/// The share of the messages that are watched until they are aggregated: watching all would be a load of its own.
const WATCHED_ONE_IN: usize = 16;

/// Plays the dialogues of a phase. Returns the outcomes in the order of the plan.
///
/// A dialogue ends at the first call that fails for good, as a customer's would. The other dialogues continue.
pub async fn dialogues(run: &Run, venue_ids: &Arc<Vec<String>>, phase: &Arc<Phase>) -> Vec<Played> {
    let range = phase.dialogues.clone();
    let calls = run.plan.dialogues[range.clone()].iter().map(|dialogue| dialogue.turns.len() + 1).sum();
    let progress = Progress::start(phase.title, calls);
    let played = concurrently::each(range.len(), run.concurrency, |index| {
        let dialogue = DialogueRun {
            index: range.start + index,
            plan: Arc::clone(&run.plan),
            venue_ids: Arc::clone(venue_ids),
            phase: Arc::clone(phase),
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

/// A dialogue that is being played.
struct DialogueRun {
    index: usize,
    plan: Arc<Plan>,
    venue_ids: Arc<Vec<String>>,
    phase: Arc<Phase>,
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
            // The assistant makes the booking before the turn that mentions it.
            if turn == dialogue.reserved_at_turn {
                self.phase.rate_limiter.wait().await;
                *booking_id = Some(self.book().await?);
                self.progress.advance(1);
            }
            self.phase.rate_limiter.wait().await;
            self.store(turn).await?;
            self.progress.advance(1);
        }
        Ok(())
    }

    async fn store(&self, turn: usize) -> Result<(), Failure> {
        let message = message(&self.plan, self.index, turn);
        let (conversation_id, is_scored) = (message.conversation_id.clone(), message.emotion.is_some());
        let stored = self.phase.caller.call(Method::StoreMessage, || {
            let (mut conversations, message) = (self.clients.conversations.clone(), message.clone());
            async move { conversations.store_message(request(self.trace, message)).await }
        });
        let sequence = stored.await?.message.unwrap_or_default().sequence;
        if let Some(lags) = &self.phase.lags
            && is_scored
            && (self.index + turn).is_multiple_of(WATCHED_ONE_IN)
        {
            lags.watch(Work {
                clients: self.clients.clone(),
                conversation_id,
                sign: VisibleResult::Aggregated { sequence },
            });
        }
        Ok(())
    }

    async fn book(&self) -> Result<String, Failure> {
        let booking = booking(&self.plan, self.index, &self.venue_ids);
        let conversation_id = booking.conversation_id.clone();
        let made = self.phase.caller.call(Method::CreateBooking, || {
            let (mut bookings, booking) = (self.clients.bookings.clone(), booking.clone());
            async move { bookings.create_booking(request(self.trace, booking)).await }
        });
        let made = made.await?.booking.unwrap_or_default();
        if let Some(lags) = &self.phase.lags {
            lags.watch(Work { clients: self.clients.clone(), conversation_id, sign: VisibleResult::FollowUp });
        }
        Ok(made.booking_id)
    }
}

/// The message of a turn, the same for every attempt.
pub fn message(plan: &Plan, dialogue: usize, turn: usize) -> StoreMessageRequest {
    let source = &plan.dialogues[dialogue].turns[turn];
    let role = match source.role {
        Speaker::User => Role::User,
        Speaker::Assistant => Role::Assistant,
    };
    StoreMessageRequest {
        conversation_id: plan.conversation(dialogue),
        message_id: plan.run.message(dialogue, turn).to_string(),
        role: role.into(),
        content: source.text.clone(),
        channel: Channel::Web.into(),
        user_id: format!("replay-guest-{dialogue}"),
        emotion: source.emotion.map(|score| Emotion { score: Some(score), ..Default::default() }),
        ..Default::default()
    }
}

/// The booking of a dialogue, the same for every attempt. The guest of a dialogue is the same in every run, as a
/// regular customer is.
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
