//! What Stripe tells of a payment, and what follows for the booking.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

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
    /// One refund, by its name.
    Refund {
        name: u8,
        cents: i64,
        failed: bool,
    },
    /// One dispute, by its name.
    Dispute {
        name: u8,
        cents: i64,
        won: bool,
    },
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
}

/// All that was told of a payment, in whatever order.
#[derive(Debug, Clone, Default)]
pub struct Intent {
    told: Vec<Says>,
}

/// What all that comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    pub stage: Option<Stage>,
    pub refunded_cents: i64,
    pub disputed_cents: i64,
}

impl Intent {
    pub fn tell(&mut self, says: Says) {
        self.told.push(says);
    }

    pub fn stands(&self, amount_cents: i64) -> Stands {
        let stage = self.told.iter().filter_map(|says| match says {
            Says::Failed => Some(Stage::Failed),
            Says::Cancelled => Some(Stage::Cancelled),
            Says::Succeeded { .. } => Some(Stage::Succeeded),
            _ => None,
        });
        let (mut in_all, mut made, mut failed) = (0, BTreeMap::new(), BTreeMap::new());
        let (mut disputed, mut won) = (BTreeMap::new(), BTreeSet::new());
        for says in &self.told {
            match *says {
                Says::Refunded { cents } => in_all = cents.max(in_all),
                Says::Refund { name, cents, failed: false } => {
                    made.insert(name, cents);
                }
                Says::Refund { name, cents, failed: true } => {
                    failed.insert(name, cents);
                }
                Says::Dispute { name, cents, won: false } => {
                    disputed.insert(name, cents);
                }
                Says::Dispute { name, won: true, .. } => {
                    won.insert(name);
                }
                _ => {}
            }
        }
        made.retain(|name, _| !failed.contains_key(name));
        disputed.retain(|name, _| !won.contains(name));
        let by_name: i64 = made.values().sum();
        let refunded_cents = by_name.max(in_all - failed.values().sum::<i64>()).clamp(0, amount_cents);
        let disputed_cents = disputed.values().sum::<i64>().min(amount_cents - refunded_cents);
        Stands { stage: stage.max(), refunded_cents, disputed_cents }
    }
}

impl Model {
    /// Makes one part of an event true.
    pub(super) fn stripe(&mut self, event: &Event) -> Answer {
        let Some(n) = self.booking(&event.booking_id) else { return Ok(Reply::Taken) };
        let intent = Arc::make_mut(&mut self.intents).entry(event.intent_id.clone()).or_default();
        let before = intent.stands(event.amount_cents);
        intent.tell(event.says);
        let after = intent.stands(event.amount_cents);
        if after.stage < Some(Stage::Succeeded) && !matches!(event.says, Says::Failed | Says::Cancelled) {
            return Err(Refused::not_found("what was not received cannot be given back"));
        }
        self.reach(n, event, before, after);
        self.give_back(n, event, before, after);
        // What was given back takes the place of what is disputed.
        let left = event.amount_cents - after.refunded_cents;
        self.dispute(n, event, before.disputed_cents.min(left), after.disputed_cents);
        self.follow(n);
        Ok(Reply::Taken)
    }

    fn reach(&mut self, n: usize, event: &Event, before: Stands, after: Stands) {
        let Some(stage) = after.stage.filter(|_| before.stage != after.stage) else { return };
        let status = match stage {
            Stage::Failed => PaymentStatus::Failed,
            Stage::Cancelled => PaymentStatus::Cancelled,
            Stage::Succeeded => PaymentStatus::Succeeded,
        };
        if before.stage.is_none() {
            self.add(event, PaymentKind::Charge, event.amount_cents, status);
        }
        self.show(event, status, 0);
        match event.says {
            Says::Succeeded { given_back_cents } => {
                self.charge(n, event.amount_cents, given_back_cents < event.amount_cents);
            }
            _ => self.move_back(n, 0, 0, "teppan.payment.failed.v1"),
        }
    }

    /// Less or more was given back. What is disputed is all that is left at most.
    fn give_back(&mut self, n: usize, event: &Event, before: Stands, after: Stands) {
        let more = after.refunded_cents - before.refunded_cents;
        if more > 0 {
            let disputed = before.disputed_cents.min(event.amount_cents - after.refunded_cents);
            let no_longer_disputed = before.disputed_cents - disputed;
            self.add(event, PaymentKind::Refund, more, PaymentStatus::Succeeded);
            Arc::make_mut(&mut self.bookings[n]).disputed_cents -= no_longer_disputed;
            self.show_dispute(event, disputed);
            self.move_back(n, more - no_longer_disputed, more, "teppan.payment.refunded.v1");
        } else if more < 0 {
            let payments = Arc::make_mut(&mut self.payments);
            let undone = payments.iter_mut().rev().find(|it| {
                let ours = it.external_reference == event.intent_id && it.kind() == PaymentKind::Refund;
                ours && it.status() == PaymentStatus::Succeeded && it.amount_cents == -more
            });
            if let Some(undone) = undone {
                undone.set_status(PaymentStatus::Failed);
            }
            let taken = after.disputed_cents - before.disputed_cents;
            let booking = Arc::make_mut(&mut self.bookings[n]);
            booking.told.refunded_cents += more;
            booking.disputed_cents += taken;
            self.show_dispute(event, after.disputed_cents);
            self.come_back(n, -more - taken, any_is_left(event, after));
        }
    }

    fn dispute(&mut self, n: usize, event: &Event, before_cents: i64, after_cents: i64) {
        let more = after_cents - before_cents;
        if more == 0 || !matches!(event.says, Says::Dispute { .. }) {
            return;
        }
        Arc::make_mut(&mut self.bookings[n]).disputed_cents += more;
        self.show_dispute(event, after_cents);
        if more > 0 {
            self.move_back(n, more, 0, "teppan.payment.failed.v1");
        } else {
            let after = self.intents.get(&event.intent_id).map(|intent| intent.stands(event.amount_cents));
            self.come_back(n, -more, after.is_some_and(|after| any_is_left(event, after)));
        }
    }

    fn show_dispute(&mut self, event: &Event, disputed_cents: i64) {
        let status = if disputed_cents > 0 { PaymentStatus::Disputed } else { PaymentStatus::Succeeded };
        self.show(event, status, disputed_cents);
    }

    /// The charge's entry.
    fn show(&mut self, event: &Event, status: PaymentStatus, disputed_cents: i64) {
        let payments = Arc::make_mut(&mut self.payments);
        let ours =
            |it: &&mut wire::Payment| it.external_reference == event.intent_id && it.kind() == PaymentKind::Charge;
        for payment in payments.iter_mut().filter(ours) {
            payment.set_status(status);
            payment.disputed_cents = disputed_cents;
        }
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
            disputed_cents: 0,
        });
    }
}

/// Whether not all of a payment was given back: otherwise it makes no booking firm.
fn any_is_left(event: &Event, after: Stands) -> bool {
    event.amount_cents > after.refunded_cents
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
