use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{BookingId, PaymentId, PaymentKind, PaymentMethod, PaymentStatus};

/// A stored movement of money, or an attempt at one. Amounts are minor units of `currency`.
///
/// This is the only list of the columns: statements return `payments.*` or its JSON, and take rows as the JSON of this
/// type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Payment {
    pub payment_id: PaymentId,
    pub booking_id: BookingId,
    pub kind: PaymentKind,
    pub method: PaymentMethod,
    pub status: PaymentStatus,
    pub amount_cents: i64,
    pub currency: String,
    pub external_reference: String,
    /// For Stripe's charges: the id of the charge, as soon as it is known.
    pub charge_id: Option<String>,
    /// For Stripe's charges: everything that Stripe reported about the charge.
    pub facts: Option<serde_json::Value>,
    pub revision: i64,
    pub refunded_cents: i64,
    pub disputed_cents: i64,
    pub hold_until: Option<DateTime<Utc>>,
    pub refund_of: Option<Uuid>,
    /// Whether it is for tips and extras; `None`: no.
    pub is_extra: Option<bool>,
    pub occurred_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}
