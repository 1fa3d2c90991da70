//! Stripe's events about a payment, and their effects on the booking.

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

/// A Stripe event, and what it reports.
#[derive(Clone, PartialEq)]
pub struct Event {
    pub booking_id: String,
    pub intent_id: String,
    pub amount_cents: i64,
    pub report: Report,
    pub value: Value,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { booking_id, intent_id, amount_cents, report, value } = self;
        write!(f, "{report:?} ({}, {intent_id}, {amount_cents} for {booking_id})", value["id"])
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    Failed,
    Cancelled,
    /// The charge succeeded; this amount of it was refunded, as far as the event reports.
    Succeeded {
        given_back_cents: i64,
    },
    /// The total refunded amount.
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
    /// The changes of an event, one after another: a refund also implies that the charge succeeded. Other calls may see
    /// the state in between.
    pub fn parts(&self) -> Vec<Self> {
        match self.report {
            Report::Refunded { cents } => {
                let received = Self { report: Report::Succeeded { given_back_cents: cents }, ..self.clone() };
                vec![received, self.clone()]
            }
            _ => vec![self.clone()],
        }
    }
}

/// The stage of a payment, which never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentStage {
    Failed,
    Cancelled,
    Succeeded,
}

/// All reports about a payment, in any order.
#[derive(Debug, Clone, Default)]
pub struct Intent {
    reports: Vec<Report>,
}

/// The state that follows from all reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntentState {
    pub stage: Option<PaymentStage>,
    pub refunded_cents: i64,
    pub disputed_cents: i64,
}

impl Intent {
    pub fn add(&mut self, report: Report) {
        self.reports.push(report);
    }

    pub fn state(&self, amount_cents: i64) -> IntentState {
        let stage = self.reports.iter().filter_map(|report| match report {
            Report::Failed => Some(PaymentStage::Failed),
            Report::Cancelled => Some(PaymentStage::Cancelled),
            Report::Succeeded { .. } => Some(PaymentStage::Succeeded),
            _ => None,
        });
        let (mut in_all, mut made, mut failed) = (0, BTreeMap::new(), BTreeMap::new());
        let (mut disputed, mut won) = (BTreeMap::new(), BTreeSet::new());
        for report in &self.reports {
            match *report {
                Report::Refunded { cents } => in_all = cents.max(in_all),
                Report::Refund { name, cents, failed: false } => {
                    made.insert(name, cents);
                }
                Report::Refund { name, cents, failed: true } => {
                    failed.insert(name, cents);
                }
                Report::Dispute { name, cents, won: false } => {
                    disputed.insert(name, cents);
                }
                Report::Dispute { name, won: true, .. } => {
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
        IntentState { stage: stage.max(), refunded_cents, disputed_cents }
    }
}

impl Model {
    /// Applies one part of an event.
    pub(super) fn stripe(&mut self, event: &Event) -> Answer {
        let Some(n) = self.booking(&event.booking_id) else { return Ok(Reply::Taken) };
        let intent = Arc::make_mut(&mut self.intents).entry(event.intent_id.clone()).or_default();
        let before = intent.state(event.amount_cents);
        intent.add(event.report);
        let after = intent.state(event.amount_cents);
        if after.stage < Some(PaymentStage::Succeeded) && !matches!(event.report, Report::Failed | Report::Cancelled) {
            return Err(Refused::not_found("an amount that was not received cannot be refunded"));
        }
        self.reach(n, event, before, after);
        self.give_back(n, event, before, after);
        // A refund reduces the disputed amount, because both cannot exceed the charge.
        let left = event.amount_cents - after.refunded_cents;
        self.dispute(n, event, before.disputed_cents.min(left), after.disputed_cents);
        self.follow(n);
        Ok(Reply::Taken)
    }

    fn reach(&mut self, n: usize, event: &Event, before: IntentState, after: IntentState) {
        let Some(stage) = after.stage.filter(|_| before.stage != after.stage) else { return };
        let status = match stage {
            PaymentStage::Failed => PaymentStatus::Failed,
            PaymentStage::Cancelled => PaymentStatus::Cancelled,
            PaymentStage::Succeeded => PaymentStatus::Succeeded,
        };
        if before.stage.is_none() {
            self.add(event, PaymentKind::Charge, event.amount_cents, status);
        }
        self.show(event, status, 0);
        match event.report {
            Report::Succeeded { given_back_cents } => {
                self.charge(n, event.amount_cents, given_back_cents < event.amount_cents);
            }
            _ => self.reduce_paid(n, 0, 0, "teppan.payment.failed.v1"),
        }
    }

    /// Applies a change of the refunded amount. At most the rest is disputed.
    fn give_back(&mut self, n: usize, event: &Event, before: IntentState, after: IntentState) {
        let more = after.refunded_cents - before.refunded_cents;
        if more > 0 {
            let disputed = before.disputed_cents.min(event.amount_cents - after.refunded_cents);
            let no_longer_disputed = before.disputed_cents - disputed;
            self.add(event, PaymentKind::Refund, more, PaymentStatus::Succeeded);
            Arc::make_mut(&mut self.bookings[n]).disputed_cents -= no_longer_disputed;
            self.show_dispute(event, disputed);
            self.reduce_paid(n, more - no_longer_disputed, more, "teppan.payment.refunded.v1");
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
            booking.proto.refunded_cents += more;
            booking.disputed_cents += taken;
            self.show_dispute(event, after.disputed_cents);
            self.restore_paid(n, -more - taken, is_partly_kept(event, after));
        }
    }

    fn dispute(&mut self, n: usize, event: &Event, before_cents: i64, after_cents: i64) {
        let more = after_cents - before_cents;
        if more == 0 || !matches!(event.report, Report::Dispute { .. }) {
            return;
        }
        Arc::make_mut(&mut self.bookings[n]).disputed_cents += more;
        self.show_dispute(event, after_cents);
        if more > 0 {
            self.reduce_paid(n, more, 0, "teppan.payment.failed.v1");
        } else {
            let after = self.intents.get(&event.intent_id).map(|intent| intent.state(event.amount_cents));
            self.restore_paid(n, -more, after.is_some_and(|after| is_partly_kept(event, after)));
        }
    }

    fn show_dispute(&mut self, event: &Event, disputed_cents: i64) {
        let status = if disputed_cents > 0 { PaymentStatus::Disputed } else { PaymentStatus::Succeeded };
        self.show(event, status, disputed_cents);
    }

    /// Updates the charge's entry.
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
            is_extra: false,
        });
    }
}

/// Whether a part of the payment was not refunded: a fully refunded payment confirms no booking.
fn is_partly_kept(event: &Event, after: IntentState) -> bool {
    event.amount_cents > after.refunded_cents
}

/// Sorts payments, and clears the fields that the model cannot know: the service assigns the ids of Stripe's payments.
pub fn canonical(payments: &mut [wire::Payment]) {
    for payment in payments.iter_mut().filter(|payment| payment.method() == PaymentMethod::Stripe) {
        payment.payment_id.clear();
        // It also changes with facts that the wire does not show, such as the charge's id.
        payment.updated_at = None;
    }
    payments.sort_by_key(|it| {
        let at = it.created_at.as_ref().map(super::state::moment);
        (at, it.payment_id.clone(), it.external_reference.clone(), it.kind, it.amount_cents)
    });
}
