//! A payment as it is stored and as it is read.

use chrono::{DateTime, Utc};
use teppan_shared::read_error::Corrupted;
use uuid::Uuid;

use crate::domain::{BookingId, PaymentId, PaymentKind, PaymentMethod, PaymentStatus};

/// The columns of a payment.
pub struct PaymentRow {
    pub payment_id: Uuid,
    pub booking_id: Uuid,
    pub kind: String,
    pub method: String,
    pub status: String,
    pub amount_cents: i64,
    pub currency: String,
    pub external_reference: String,
    pub occurred_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub disputed_cents: i64,
}

/// A movement of money. The amount is in minor units of `currency`.
pub struct Payment {
    pub id: PaymentId,
    pub booking_id: BookingId,
    pub kind: PaymentKind,
    pub method: PaymentMethod,
    pub status: PaymentStatus,
    pub amount_cents: i64,
    pub currency: String,
    pub external_reference: String,
    pub occurred_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub disputed_cents: i64,
}

impl TryFrom<PaymentRow> for Payment {
    type Error = Corrupted;

    fn try_from(row: PaymentRow) -> Result<Self, Corrupted> {
        Ok(Self {
            id: PaymentId(row.payment_id),
            booking_id: BookingId(row.booking_id),
            kind: PaymentKind::from_column(&row.kind).ok_or(Corrupted::Column("payments.kind"))?,
            method: PaymentMethod::from_column(&row.method).ok_or(Corrupted::Column("payments.method"))?,
            status: PaymentStatus::from_column(&row.status).ok_or(Corrupted::Column("payments.status"))?,
            amount_cents: row.amount_cents,
            currency: row.currency,
            external_reference: row.external_reference,
            occurred_at: row.occurred_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            disputed_cents: row.disputed_cents,
        })
    }
}
