//! Converts payments to wire types.

use teppan_shared::{contract::booking::v1 as wire, wire::timestamp};

use crate::{
    domain::{PaymentKind, PaymentStatus},
    payments::row::Payment,
};

pub fn payment(payment: Payment) -> wire::Payment {
    wire::Payment {
        payment_id: payment.payment_id.to_string(),
        booking_id: payment.booking_id.to_string(),
        kind: match payment.kind {
            PaymentKind::Charge => wire::PaymentKind::Charge,
            PaymentKind::Refund => wire::PaymentKind::Refund,
        }
        .into(),
        method: wire::PaymentMethod::from(payment.method).into(),
        status: match payment.status {
            PaymentStatus::Succeeded => wire::PaymentStatus::Succeeded,
            PaymentStatus::Failed => wire::PaymentStatus::Failed,
            PaymentStatus::Cancelled => wire::PaymentStatus::Cancelled,
            PaymentStatus::Disputed => wire::PaymentStatus::Disputed,
            PaymentStatus::Processing => wire::PaymentStatus::Processing,
        }
        .into(),
        amount_cents: payment.amount_cents,
        currency: payment.currency,
        external_reference: payment.external_reference,
        occurred_at: Some(timestamp(payment.occurred_at)),
        created_at: Some(timestamp(payment.created_at)),
        updated_at: Some(timestamp(payment.updated_at)),
        disputed_cents: payment.disputed_cents,
        is_extra: payment.is_extra.unwrap_or(false),
    }
}
