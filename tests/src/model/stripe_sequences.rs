//! Turns planned sequences into Stripe's events.

use serde_json::Value;
use teppan_shared::contract::booking::v1::{Payment, PaymentKind, PaymentStatus};

use super::{
    names::{id, pick},
    operations::{Amount, StripeSequence, StripeStep},
    rules,
    state::Model,
    stripe::{Event, PaymentStage, Report},
};
use crate::stripe::Intent;

/// A payment, its time, and the events that were sent about it.
#[derive(Debug)]
struct SentPayment {
    intent: Intent,
    created: i64,
    events: Vec<Event>,
}

/// The payments so far, which later sequences repeat.
#[derive(Debug, Default)]
pub struct StripeSequences {
    sent: Vec<SentPayment>,
}

impl StripeSequences {
    /// The events of a sequence, without duplicates. No event has to wait for another that comes later.
    pub fn plan(&mut self, model: &Model, sequence: &StripeSequence) -> Vec<Event> {
        let count = self.sent.len();
        let earlier = sequence.again.filter(|_| count > 0).map(|back| count - 1 - usize::from(back) % count);
        let n = earlier.unwrap_or(count);
        if earlier.is_none() {
            let Some(booking) = pick(model, sequence.booking) else { return Vec::new() };
            let proto = &booking.proto;
            let cents = match sequence.amount {
                Amount::Due => proto.deposit_cents.max(proto.no_show_fee_cents) - proto.paid_cents,
                Amount::All => proto.total_cents - proto.paid_cents,
                Amount::Cents(cents) => cents,
            };
            let intent = Intent::of(&id(Some(booking)), cents.max(1));
            self.sent.push(SentPayment { intent, created: model.now.timestamp(), events: Vec::new() });
        }
        let payment = &mut self.sent[n];
        let mut events: Vec<Event> = Vec::new();
        for &step in &sequence.steps {
            let repeated = matches!(step, StripeStep::Before).then(|| payment.events.first().cloned()).flatten();
            let event = repeated.unwrap_or_else(|| event(model, payment, step));
            if !events.iter().any(|other| other.value["id"] == event.value["id"]) {
                events.push(event);
            }
        }
        // A failed refund is sent alone: which entry it belongs to depends on concurrent events.
        if let Some(failed) = events.iter().find(|it| matches!(it.report, Report::Refund { failed: true, .. })) {
            events = vec![failed.clone()];
        }
        payment.events.extend(events.iter().cloned());
        events
    }
}

fn event(model: &Model, payment: &SentPayment, step: StripeStep) -> Event {
    let intent = &payment.intent;
    let state = model.intents.get(&intent.id).map(|known| known.state(intent.amount_cents));
    let succeeded = state.is_some_and(|state| state.stage == Some(PaymentStage::Succeeded));
    let paid = model.booking(&intent.booking_id).map_or(0, |n| rules::paid(&model.bookings[n].proto));
    // A payment can be refunded or disputed only while the booking still has the amount.
    let there =
        !succeeded || state.is_some_and(|it| paid >= intent.amount_cents - it.refunded_cents - it.disputed_cents);
    let share = |tenths: u8| (intent.amount_cents * i64::from(tenths) / 10).max(1);
    let (mut value, report): (Value, Report) = match step {
        StripeStep::Failed => (intent.failed(), Report::Failed),
        StripeStep::Cancelled => (intent.canceled(), Report::Cancelled),
        StripeStep::Session => (intent.session_completed(), Report::Succeeded { given_back_cents: 0 }),
        StripeStep::Refunded { percent } if there => {
            let cents = (intent.amount_cents * i64::from(percent) / 100).max(1);
            (intent.refunded(cents), Report::Refunded { cents })
        }
        StripeStep::Refund { name } if there && succeeded => {
            let cents = share(name + 1);
            (intent.refund_made(&name.to_string(), cents), Report::Refund { name, cents, failed: false })
        }
        StripeStep::RefundFailed { name } if succeeded && is_an_entry(model, payment, name, share(name + 1)) => {
            let cents = share(name + 1);
            (intent.refund_failed(&name.to_string(), cents), Report::Refund { name, cents, failed: true })
        }
        StripeStep::Disputed { name } if there && succeeded => {
            let (kind, cents) = ("charge.dispute.created", share(10 - 3 * name));
            let value = intent.dispute(kind, &name.to_string(), cents, "needs_response");
            (value, Report::Dispute { name, cents, won: false })
        }
        StripeStep::DisputeWon { name } if succeeded => {
            let (kind, cents) = ("charge.dispute.closed", share(10 - 3 * name));
            (intent.dispute(kind, &name.to_string(), cents, "won"), Report::Dispute { name, cents, won: true })
        }
        _ => (intent.succeeded(), Report::Succeeded { given_back_cents: 0 }),
    };
    value["created"] = payment.created.into();
    let (booking_id, intent_id) = (intent.booking_id.clone(), intent.id.clone());
    Event { booking_id, intent_id, amount_cents: intent.amount_cents, report, value }
}

/// Whether a failed refund has an entry of its own. Of several equal entries only the service knows which one failed.
fn is_an_entry(model: &Model, payment: &SentPayment, name: u8, cents: i64) -> bool {
    let mut known = model.intents.get(&payment.intent.id).cloned().unwrap_or_default();
    let before = known.state(payment.intent.amount_cents);
    known.add(Report::Refund { name, cents, failed: true });
    let after = known.state(payment.intent.amount_cents);
    let less = before.refunded_cents - after.refunded_cents;
    let is_it = |it: &Payment| {
        it.external_reference == payment.intent.id
            && it.kind() == PaymentKind::Refund
            && it.status() == PaymentStatus::Succeeded
            && it.amount_cents == less
    };
    less == 0 || model.payments.iter().any(is_it)
}
