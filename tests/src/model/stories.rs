//! From the stories that Stripe tells to its events.

use serde_json::Value;

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
                Amount::Due => told.deposit_due_cents - told.paid_cents,
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
        told.events.extend(events.iter().cloned());
        events
    }
}

fn event(model: &Model, told: &Told, tells: Tells) -> Event {
    let intent = &told.intent;
    let known = model.intents.get(&intent.id);
    let succeeded = known.is_some_and(|known| known.stage >= Stage::Succeeded);
    let paid = model.booking(&intent.booking_id).map_or(0, |n| model.bookings[n].told.paid_cents);
    // The whole of a payment can only be taken back where it is still there.
    let there =
        known.is_none_or(|known| known.stage != Stage::Succeeded || paid >= intent.amount_cents - known.refunded_cents);
    let (mut value, says): (Value, Says) = match tells {
        Tells::Failed => (intent.failed(), Says::Failed),
        Tells::Cancelled => (intent.canceled(), Says::Cancelled),
        Tells::Session => (intent.session_completed(), Says::Succeeded { given_back_cents: 0 }),
        Tells::Refunded { percent } if there => {
            let cents = (intent.amount_cents * i64::from(percent) / 100).max(1);
            (intent.refunded(cents), Says::Refunded { cents })
        }
        Tells::Disputed if there && succeeded => (intent.disputed(), Says::Disputed),
        _ => (intent.succeeded(), Says::Succeeded { given_back_cents: 0 }),
    };
    value["created"] = told.created.into();
    let (booking_id, intent_id) = (intent.booking_id.clone(), intent.id.clone());
    Event { booking_id, intent_id, amount_cents: intent.amount_cents, says, value }
}
