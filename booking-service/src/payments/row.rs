use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{BookingId, PaymentId, PaymentKind, PaymentMethod, PaymentStatus};

/// A movement of money, or an attempt at one, as it is stored. Amounts are minor units of `currency`.
///
/// The one list of the columns: statements answer `payments.*` or its JSON, and take rows as the JSON of this.
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
    /// Of Stripe's charges: the charge, as soon as it is known.
    pub charge_id: Option<String>,
    /// Of Stripe's charges: everything that Stripe reported about it.
    pub facts: Option<serde_json::Value>,
    pub revision: i64,
    pub refunded_cents: i64,
    pub disputed_cents: i64,
    pub hold_until: Option<DateTime<Utc>>,
    pub refund_of: Option<Uuid>,
    pub occurred_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}
