//! What Stripe tells of a payment, and what follows for the booking.

use std::{fmt, sync::Arc};

use chrono::DateTime;
use serde_json::Value;
use teppan_shared::{
    contract::booking::v1::{self as wire, PaymentKind, PaymentMethod, PaymentStatus},
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    state::Model,
};

/// One event of Stripe's, and what it says.
#[derive(Clone, PartialEq)]
pub struct Event {
    pub booking_id: String,
    pub intent_id: String,
    pub amount_cents: i64,
    pub says: Says,
    pub value: Value,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { booking_id, intent_id, amount_cents, says, value } = self;
        write!(f, "{says:?} ({}, {intent_id}, {amount_cents} for {booking_id})", value["id"])
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Failed,
    Cancelled,
    /// So much of it was given back, as far as is told with it.
    Succeeded {
        given_back_cents: i64,
    },
    /// So much was given back in all.
    Refunded {
        cents: i64,
    },
    Disputed,
}

impl Event {
    /// What it changes, one after the other: of what is given back, first that it was received. Others see what
    /// is in between.
    pub fn parts(&self) -> Vec<Self> {
        match self.says {
            Says::Refunded { cents } => {
                let received = Self { says: Says::Succeeded { given_back_cents: cents }, ..self.clone() };
                vec![received, self.clone()]
            }
            _ => vec![self.clone()],
        }
    }
}

/// How far a payment has come: only what comes later changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Failed,
    Cancelled,
    Succeeded,
    Disputed,
}

#[derive(Debug, Clone, Copy)]
pub struct Intent {
    pub stage: Stage,
    pub refunded_cents: i64,
}

impl Model {
    /// Makes one part of an event true.
    pub(super) fn stripe(&mut self, event: &Event) -> Answer {
        match event.says {
            Says::Failed => self.reach(event, Stage::Failed, 0),
            Says::Cancelled => self.reach(event, Stage::Cancelled, 0),
            Says::Succeeded { given_back_cents } => self.reach(event, Stage::Succeeded, given_back_cents),
            Says::Refunded { cents } => self.give_back(event, cents)?,
            Says::Disputed => self.reach(event, Stage::Disputed, 0),
        }
        if let Some(n) = self.booking(&event.booking_id) {
            self.follow(n);
        }
        Ok(Reply::Taken)
    }

    /// `given_back_cents` is what the event tells beside the charge.
    fn reach(&mut self, event: &Event, stage: Stage, given_back_cents: i64) {
        let before = self.intents.get(&event.intent_id).copied();
        let Some(n) = self.booking(&event.booking_id) else { return };
        if before.is_some_and(|before| before.stage >= stage) {
            return;
        }
        let intent = Intent { stage, refunded_cents: before.map_or(0, |before| before.refunded_cents) };
        Arc::make_mut(&mut self.intents).insert(event.intent_id.clone(), intent);
        let status = match stage {
            Stage::Failed => PaymentStatus::Failed,
            Stage::Cancelled => PaymentStatus::Cancelled,
            Stage::Succeeded => PaymentStatus::Succeeded,
            Stage::Disputed => PaymentStatus::Disputed,
        };
        self.show(event, status);
        match stage {
            Stage::Succeeded => self.charge(n, event.amount_cents, given_back_cents < event.amount_cents),
            Stage::Failed | Stage::Cancelled => {
                let now = self.now;
                Arc::make_mut(&mut self.bookings[n]).changed("teppan.payment.failed.v1", now);
            }
            Stage::Disputed => {
                let now = self.now;
                let booking = Arc::make_mut(&mut self.bookings[n]);
                let taken = event.amount_cents - intent.refunded_cents;
                booking.told.paid_cents -= taken;
                booking.told.refunded_cents -= intent.refunded_cents;
                booking.told.refund_due_cents = (booking.told.refund_due_cents - taken).max(0);
                booking.changed("teppan.payment.failed.v1", now);
            }
        }
    }

    /// The charge's entry, and with a dispute those of its refunds.
    fn show(&mut self, event: &Event, status: PaymentStatus) {
        let payments = Arc::make_mut(&mut self.payments);
        let mut known = false;
        for payment in payments.iter_mut().filter(|payment| payment.external_reference == event.intent_id) {
            known |= payment.kind() == PaymentKind::Charge;
            payment.set_status(status);
        }
        if !known {
            self.add(event, PaymentKind::Charge, event.amount_cents, status);
        }
    }

    fn give_back(&mut self, event: &Event, cents: i64) -> Result<(), Refused> {
        let received = self.intents.get(&event.intent_id).filter(|intent| intent.stage >= Stage::Succeeded);
        let intent = *received.ok_or_else(|| Refused::not_found("what was not received cannot be given back"))?;
        let Some(n) = self.booking(&event.booking_id) else { return Ok(()) };
        let more = cents - intent.refunded_cents;
        if more <= 0 {
            return Ok(());
        }
        Arc::make_mut(&mut self.intents).insert(event.intent_id.clone(), Intent { refunded_cents: cents, ..intent });
        if intent.stage == Stage::Disputed {
            self.add(event, PaymentKind::Refund, more, PaymentStatus::Disputed);
        } else {
            self.add(event, PaymentKind::Refund, more, PaymentStatus::Succeeded);
            self.refund(n, more);
        }
        Ok(())
    }

    fn add(&mut self, event: &Event, kind: PaymentKind, amount_cents: i64, status: PaymentStatus) {
        let created = event.value["created"].as_i64().and_then(|at| DateTime::from_timestamp(at, 0));
        Arc::make_mut(&mut self.payments).push(wire::Payment {
            payment_id: String::new(),
            booking_id: event.booking_id.clone(),
            kind: kind.into(),
            method: PaymentMethod::Stripe.into(),
            status: status.into(),
            amount_cents,
            currency: "EUR".to_owned(),
            external_reference: event.intent_id.clone(),
            occurred_at: created.map(timestamp),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
        });
    }
}

/// Payments in an order, and with fields, that both sides can know: the ids of Stripe's are the service's own.
pub fn canonical(payments: &mut [wire::Payment]) {
    for payment in payments.iter_mut().filter(|payment| payment.method() == PaymentMethod::Stripe) {
        payment.payment_id.clear();
        // It moves with what the wire does not show: that the charge got its name, that a refund is counted.
        payment.updated_at = None;
    }
    payments.sort_by_key(|it| {
        let at = it.created_at.as_ref().map(super::state::moment);
        (at, it.payment_id.clone(), it.external_reference.clone(), it.kind, it.amount_cents)
    });
}
