//! From the stories that Stripe tells to its events.

use serde_json::Value;
use teppan_shared::contract::booking::v1::{Payment, PaymentKind, PaymentStatus};

use super::{
    names::{id, pick},
    operations::{Amount, Story, Tells},
    state::Model,
    stripe::{Event, Says, Stage},
};
use crate::stripe::Intent;

/// A payment, when it was made, and what was told of it.
#[derive(Debug)]
struct Told {
    intent: Intent,
    created: i64,
    events: Vec<Event>,
}

/// What Stripe told so far, to be told again.
#[derive(Debug, Default)]
pub struct Stories {
    told: Vec<Told>,
}

impl Stories {
    /// The events of a story, each once. Nothing is told that would have to wait for what comes later.
    pub fn plan(&mut self, model: &Model, story: &Story) -> Vec<Event> {
        let count = self.told.len();
        let earlier = story.again.filter(|_| count > 0).map(|back| count - 1 - usize::from(back) % count);
        let n = earlier.unwrap_or(count);
        if earlier.is_none() {
            let Some(booking) = pick(model, story.booking) else { return Vec::new() };
            let told = &booking.told;
            let cents = match story.amount {
                Amount::Due => told.deposit_cents - told.paid_cents,
                Amount::All => told.total_cents - told.paid_cents,
                Amount::Cents(cents) => cents,
            };
            let intent = Intent::of(&id(Some(booking)), cents.max(1));
            self.told.push(Told { intent, created: model.now.timestamp(), events: Vec::new() });
        }
        let told = &mut self.told[n];
        let mut events: Vec<Event> = Vec::new();
        for &tells in &story.tells {
            let repeated = matches!(tells, Tells::Before).then(|| told.events.first().cloned()).flatten();
            let event = repeated.unwrap_or_else(|| event(model, told, tells));
            if !events.iter().any(|other| other.value["id"] == event.value["id"]) {
                events.push(event);
            }
        }
        // Which entry of a refund has failed depends on what else is told meanwhile.
        if let Some(failed) = events.iter().find(|it| matches!(it.says, Says::Refund { failed: true, .. })) {
            events = vec![failed.clone()];
        }
        told.events.extend(events.iter().cloned());
        events
    }
}

fn event(model: &Model, told: &Told, tells: Tells) -> Event {
    let intent = &told.intent;
    let stands = model.intents.get(&intent.id).map(|known| known.stands(intent.amount_cents));
    let succeeded = stands.is_some_and(|stands| stands.stage == Some(Stage::Succeeded));
    let paid = model.booking(&intent.booking_id).map_or(0, |n| model.bookings[n].told.paid_cents);
    // The whole of a payment can only be taken back where it is still there.
    let there =
        !succeeded || stands.is_some_and(|it| paid >= intent.amount_cents - it.refunded_cents - it.disputed_cents);
    let share = |tenths: u8| (intent.amount_cents * i64::from(tenths) / 10).max(1);
    let (mut value, says): (Value, Says) = match tells {
        Tells::Failed => (intent.failed(), Says::Failed),
        Tells::Cancelled => (intent.canceled(), Says::Cancelled),
        Tells::Session => (intent.session_completed(), Says::Succeeded { given_back_cents: 0 }),
        Tells::Refunded { percent } if there => {
            let cents = (intent.amount_cents * i64::from(percent) / 100).max(1);
            (intent.refunded(cents), Says::Refunded { cents })
        }
        Tells::Refund { name } if there && succeeded => {
            let cents = share(name + 1);
            (intent.refund_made(&name.to_string(), cents), Says::Refund { name, cents, failed: false })
        }
        Tells::RefundFailed { name } if succeeded && is_an_entry(model, told, name, share(name + 1)) => {
            let cents = share(name + 1);
            (intent.refund_failed(&name.to_string(), cents), Says::Refund { name, cents, failed: true })
        }
        Tells::Disputed { name } if there && succeeded => {
            let (kind, cents) = ("charge.dispute.created", share(10 - 3 * name));
            let value = intent.dispute(kind, &name.to_string(), cents, "needs_response");
            (value, Says::Dispute { name, cents, won: false })
        }
        Tells::DisputeWon { name } if succeeded => {
            let (kind, cents) = ("charge.dispute.closed", share(10 - 3 * name));
            (intent.dispute(kind, &name.to_string(), cents, "won"), Says::Dispute { name, cents, won: true })
        }
        _ => (intent.succeeded(), Says::Succeeded { given_back_cents: 0 }),
    };
    value["created"] = told.created.into();
    let (booking_id, intent_id) = (intent.booking_id.clone(), intent.id.clone());
    Event { booking_id, intent_id, amount_cents: intent.amount_cents, says, value }
}

/// Whether the refund that fails is an entry by itself: of several that could be meant only the service knows which.
fn is_an_entry(model: &Model, told: &Told, name: u8, cents: i64) -> bool {
    let mut known = model.intents.get(&told.intent.id).cloned().unwrap_or_default();
    let before = known.stands(told.intent.amount_cents);
    known.tell(Says::Refund { name, cents, failed: true });
    let after = known.stands(told.intent.amount_cents);
    let less = before.refunded_cents - after.refunded_cents;
    let is_it = |it: &Payment| {
        it.external_reference == told.intent.id
            && it.kind() == PaymentKind::Refund
            && it.status() == PaymentStatus::Succeeded
            && it.amount_cents == less
    };
    less == 0 || model.payments.iter().any(is_it)
}
