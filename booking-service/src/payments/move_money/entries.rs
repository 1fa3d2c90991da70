//! The rows of `payments` that a movement writes.

use super::{ChargeChange, Movement};
use crate::{
    bookings::{
        booking::Booking,
        decision::{Occasion, PaymentChange},
    },
    domain::{MoneyMove, PaymentKind, PaymentStatus},
    payments::row::Payment,
};

/// The payments that a movement creates and changes: its own, the payment of its charge, and the failed refund.
pub fn entries(booking: &Booking, movement: &Movement<'_>, occasion: &Occasion) -> Vec<PaymentChange> {
    let new = new_entry(booking, movement, occasion);
    let Some(charge) = &movement.charge else {
        return vec![PaymentChange { payment: new, revision: None }];
    };
    let mut changes = Vec::new();
    let failed_cents = -movement.refunded_delta_cents;
    if let Some(undone) = &charge.undone {
        let is_a_part = undone.amount_cents > failed_cents;
        let mut undone = Payment { updated_at: occasion.at, ..undone.clone() };
        let revision = Some(undone.revision);
        if is_a_part {
            undone.amount_cents -= failed_cents;
            let part = Payment {
                kind: PaymentKind::Refund,
                status: PaymentStatus::Failed,
                amount_cents: failed_cents,
                ..refund_of(charge, new.clone())
            };
            changes.push(PaymentChange { payment: part, revision: None });
        } else {
            undone.status = PaymentStatus::Failed;
        }
        changes.push(PaymentChange { payment: undone, revision });
    }
    let Some(known) = &charge.known else {
        let payment = charge.applied_to(new, movement, occasion);
        changes.push(PaymentChange { payment, revision: None });
        return changes;
    };
    let payment = charge.applied_to(known.clone(), movement, occasion);
    changes.push(PaymentChange { payment, revision: Some(known.revision) });
    if movement.money == MoneyMove::Refunded {
        changes.push(PaymentChange { payment: refund_of(charge, new), revision: None });
    }
    changes
}

pub fn new_entry(booking: &Booking, movement: &Movement<'_>, occasion: &Occasion) -> Payment {
    let is_refund = movement.money == MoneyMove::Refunded;
    Payment {
        payment_id: occasion.payment_id,
        booking_id: booking.booking_id,
        kind: if is_refund { PaymentKind::Refund } else { PaymentKind::Charge },
        method: movement.method,
        status: PaymentStatus::Succeeded,
        amount_cents: movement.amount_cents,
        currency: booking.currency.clone(),
        external_reference: movement.external_reference.to_owned(),
        charge_id: None,
        facts: None,
        revision: 1,
        refunded_cents: 0,
        disputed_cents: 0,
        hold_until: None,
        refund_of: None,
        is_extra: (movement.extras_delta_cents != 0).then_some(true),
        occurred_at: movement.occurred_at,
        created_at: occasion.at,
        updated_at: occasion.at,
    }
}

fn refund_of(charge: &ChargeChange, entry: Payment) -> Payment {
    Payment { refund_of: charge.known.as_ref().map(|known| known.payment_id.0), ..entry }
}

impl ChargeChange {
    /// The payment with the new state of its charge.
    fn applied_to(&self, entry: Payment, movement: &Movement<'_>, occasion: &Occasion) -> Payment {
        Payment {
            status: self.status,
            amount_cents: self.amount_cents,
            refunded_cents: self.refunded_cents,
            disputed_cents: self.disputed_cents,
            facts: Some(self.facts.clone()),
            hold_until: self.hold_until,
            occurred_at: self.occurred_at,
            charge_id: movement.charge_id.map(str::to_owned).or(entry.charge_id),
            updated_at: occasion.at,
            ..entry
        }
    }
}
