//! What happened to a booking's money, from the domain to the wire.

use teppan_shared::{contract::events::v1 as events, wire::timestamp};

use super::encode::event_status;
use crate::domain::{
    PaymentCause, PaymentFailed, PaymentFailureReason, PaymentMethod, PaymentProcessing, PaymentRecorded,
    PaymentRefunded, RefundReason, RefundRequired,
};

pub fn recorded(event: PaymentRecorded) -> events::PaymentRecorded {
    let cause = match event.cause {
        PaymentCause::Received => events::PaymentCause::Received,
        PaymentCause::RefundFailed => events::PaymentCause::RefundFailed,
        PaymentCause::DisputeWon => events::PaymentCause::DisputeWon,
    };
    events::PaymentRecorded {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        payment_id: event.payment_id.to_string(),
        method: method(event.method).into(),
        amount_cents: event.amount_cents,
        currency: event.currency,
        paid_cents: event.paid_cents,
        refunded_cents: event.refunded_cents,
        refund_due_cents: event.refund_due_cents,
        cause: cause.into(),
        hold_expires_at: event.hold_expires_at.map(timestamp),
    }
}

pub fn failed(event: PaymentFailed) -> events::PaymentFailed {
    let reason = match event.reason {
        PaymentFailureReason::Declined => events::PaymentFailureReason::Declined,
        PaymentFailureReason::Cancelled => events::PaymentFailureReason::Cancelled,
        PaymentFailureReason::Disputed => events::PaymentFailureReason::Disputed,
    };
    events::PaymentFailed {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        payment_id: event.payment_id.to_string(),
        method: method(event.method).into(),
        reason: reason.into(),
        amount_cents: event.amount_cents,
        currency: event.currency,
        paid_cents: event.paid_cents,
        refunded_cents: event.refunded_cents,
        refund_due_cents: event.refund_due_cents,
        hold_expires_at: event.hold_expires_at.map(timestamp),
    }
}

pub fn processing(event: PaymentProcessing) -> events::PaymentProcessing {
    events::PaymentProcessing {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        payment_id: event.payment_id.to_string(),
        method: method(event.method).into(),
        amount_cents: event.amount_cents,
        currency: event.currency,
        paid_cents: event.paid_cents,
        refunded_cents: event.refunded_cents,
        refund_due_cents: event.refund_due_cents,
        hold_expires_at: event.hold_expires_at.map(timestamp),
    }
}

pub fn refunded(event: PaymentRefunded) -> events::PaymentRefunded {
    events::PaymentRefunded {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        payment_id: event.payment_id.to_string(),
        method: method(event.method).into(),
        amount_cents: event.amount_cents,
        currency: event.currency,
        paid_cents: event.paid_cents,
        refunded_cents: event.refunded_cents,
        refund_due_cents: event.refund_due_cents,
    }
}

pub fn refund_required(event: RefundRequired) -> events::RefundRequired {
    let reason = match event.reason {
        RefundReason::SeatsGone => events::RefundReason::SeatsGone,
        RefundReason::BookingCancelled => events::RefundReason::BookingCancelled,
        RefundReason::Overpaid => events::RefundReason::Overpaid,
    };
    events::RefundRequired {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        payment_id: event.payment_id.to_string(),
        reason: reason.into(),
        amount_cents: event.amount_cents,
        currency: event.currency,
        refund_due_cents: event.refund_due_cents,
    }
}

fn method(method: PaymentMethod) -> events::PaymentMethod {
    match method {
        PaymentMethod::Stripe => events::PaymentMethod::Stripe,
        PaymentMethod::Cash => events::PaymentMethod::Cash,
        PaymentMethod::CardTerminal => events::PaymentMethod::CardTerminal,
        PaymentMethod::BankTransfer => events::PaymentMethod::BankTransfer,
        PaymentMethod::Voucher => events::PaymentMethod::Voucher,
        PaymentMethod::Other => events::PaymentMethod::Other,
    }
}
