//! Compares the payments of a booking with the figures that its events give.

use serde::Deserialize;
use teppan_shared::contract::events::v1 as wire;
use uuid::Uuid;

use crate::{
    bookings::{
        booking::Booking,
        event_chain::StoredEvent,
        event_data::{self, EventData},
    },
    domain::{PaymentId, PaymentKind, PaymentMethod, PaymentStatus},
    payments::move_money::venue_may_keep,
};

/// The columns of a payment that are compared.
#[derive(Debug, Clone, Deserialize)]
pub struct StoredPayment {
    payment_id: PaymentId,
    kind: PaymentKind,
    method: PaymentMethod,
    status: PaymentStatus,
    amount_cents: i64,
    refunded_cents: i64,
    disputed_cents: i64,
    refund_of: Option<Uuid>,
    is_extra: Option<bool>,
}

/// The figures of the booking that differ from the sums over its payments. `payment_id` if a payment that an event
/// names is gone or has another method; `refund_of` if the refunds of charges do not match these charges.
pub fn differing(booking: &Booking, events: &[StoredEvent], payments: &[StoredPayment]) -> Vec<String> {
    let sum = |amount: &dyn Fn(&StoredPayment) -> Option<i64>| -> i128 {
        payments.iter().filter_map(amount).map(i128::from).sum()
    };
    let succeeded = |it: &StoredPayment| it.status == PaymentStatus::Succeeded;
    let counts = |it: &StoredPayment| succeeded(it) || it.status == PaymentStatus::Disputed;
    let charged = sum(&|it| (it.kind == PaymentKind::Charge && counts(it)).then_some(it.amount_cents));
    let refunded = sum(&|it| (it.kind == PaymentKind::Refund && succeeded(it)).then_some(it.amount_cents));
    let disputed = sum(&|it| Some(it.disputed_cents));
    let refunded_of_charges = sum(&|it| Some(it.refunded_cents));
    let refunds_of_charges = sum(&|it| (it.refund_of.is_some() && succeeded(it)).then_some(it.amount_cents));
    let paid = charged - disputed - refunded;
    let extras = sum(&|it| {
        (it.is_extra == Some(true) && succeeded(it)).then_some(match it.kind {
            PaymentKind::Charge => it.amount_cents,
            PaymentKind::Refund => -it.amount_cents,
        })
    });
    let due = (paid - extras - i128::from(venue_may_keep(booking, false))).max(0);
    let checks = [
        ("paid_cents", paid == i128::from(booking.paid_cents)),
        ("extras_cents", extras == i128::from(booking.extras_cents.unwrap_or(0))),
        ("refunded_cents", refunded == i128::from(booking.refunded_cents)),
        ("disputed_cents", disputed == i128::from(booking.disputed_cents)),
        ("refund_due_cents", due == i128::from(booking.refund_due_cents)),
        ("refund_of", refunded_of_charges == refunds_of_charges),
        ("payment_id", events.iter().filter_map(named).all(|named| named.is_among(payments))),
    ];
    checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name.to_owned()).collect()
}

/// The payment that an event names.
struct NamedPayment {
    payment_id: String,
    method: i32,
}

impl NamedPayment {
    fn is_among(&self, payments: &[StoredPayment]) -> bool {
        let method = |it: &StoredPayment| i32::from(wire::PaymentMethod::from(it.method));
        payments.iter().any(|it| it.payment_id.to_string() == self.payment_id && method(it) == self.method)
    }
}

/// `None` for other events, and for events that cannot be read, which are findings of their own.
fn named(event: &StoredEvent) -> Option<NamedPayment> {
    if !event.kind.starts_with("teppan.payment.") {
        return None;
    }
    let (payment_id, method) = match event_data::read(&event.kind, &event.data).ok()? {
        EventData::PaymentRecorded(event) => (event.payment_id, event.method),
        EventData::PaymentFailed(event) => (event.payment_id, event.method),
        EventData::PaymentProcessing(event) => (event.payment_id, event.method),
        EventData::PaymentRefunded(event) => (event.payment_id, event.method),
        _ => return None,
    };
    Some(NamedPayment { payment_id, method })
}
