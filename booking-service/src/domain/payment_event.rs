//! What happened to the money of a booking, as it is stored and published.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

use super::{BookingStatus, PaymentMethod, event::status};

/// Money counts as paid: it was received, or it came back. Amounts are minor units of `currency`, here and below.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentRecorded {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: Uuid,
    #[serde(deserialize_with = "method")]
    pub method: PaymentMethod,
    #[serde(deserialize_with = "cause")]
    pub cause: PaymentCause,
    pub amount_cents: i64,
    pub currency: String,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    /// How long a booking that waits still holds its seats.
    pub hold_expires_at: Option<DateTime<Utc>>,
}

/// Why money counts as paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentCause {
    Received,
    /// A refund failed.
    RefundFailed,
    /// A dispute was won, or a part of it.
    DisputeWon,
}

/// A payment does not count, or no longer.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentFailed {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: Uuid,
    #[serde(deserialize_with = "method")]
    pub method: PaymentMethod,
    #[serde(deserialize_with = "failure")]
    pub reason: PaymentFailureReason,
    pub amount_cents: i64,
    pub currency: String,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    /// How long a booking that waits still holds its seats.
    pub hold_expires_at: Option<DateTime<Utc>>,
}

/// The bank has not decided about a payment yet; meanwhile a booking that waits holds its seats.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentProcessing {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: Uuid,
    #[serde(deserialize_with = "method")]
    pub method: PaymentMethod,
    pub amount_cents: i64,
    pub currency: String,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    pub hold_expires_at: Option<DateTime<Utc>>,
}

/// Why a payment does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentFailureReason {
    Declined,
    Cancelled,
    Disputed,
}

/// Money was given back.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentRefunded {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: Uuid,
    #[serde(deserialize_with = "method")]
    pub method: PaymentMethod,
    pub amount_cents: i64,
    pub currency: String,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
}

/// Money was received that has to be given back.
#[derive(Debug, Clone, Deserialize)]
pub struct RefundRequired {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: Uuid,
    #[serde(deserialize_with = "refund")]
    pub reason: RefundReason,
    pub amount_cents: i64,
    pub currency: String,
    pub refund_due_cents: i64,
}

/// Why money has to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundReason {
    SeatsGone,
    BookingCancelled,
    Overpaid,
}

fn method<'de, D: Deserializer<'de>>(json: D) -> Result<PaymentMethod, D::Error> {
    let name = String::deserialize(json)?;
    let method = name.strip_prefix("PAYMENT_METHOD_").and_then(PaymentMethod::from_column);
    method.ok_or_else(|| D::Error::custom("no method of a payment"))
}

fn cause<'de, D: Deserializer<'de>>(json: D) -> Result<PaymentCause, D::Error> {
    match String::deserialize(json)?.as_str() {
        "PAYMENT_CAUSE_RECEIVED" => Ok(PaymentCause::Received),
        "PAYMENT_CAUSE_REFUND_FAILED" => Ok(PaymentCause::RefundFailed),
        "PAYMENT_CAUSE_DISPUTE_WON" => Ok(PaymentCause::DisputeWon),
        _ => Err(D::Error::custom("no cause why money counts as paid")),
    }
}

fn failure<'de, D: Deserializer<'de>>(json: D) -> Result<PaymentFailureReason, D::Error> {
    match String::deserialize(json)?.as_str() {
        "PAYMENT_FAILURE_REASON_DECLINED" => Ok(PaymentFailureReason::Declined),
        "PAYMENT_FAILURE_REASON_CANCELLED" => Ok(PaymentFailureReason::Cancelled),
        "PAYMENT_FAILURE_REASON_DISPUTED" => Ok(PaymentFailureReason::Disputed),
        _ => Err(D::Error::custom("no reason why a payment does not count")),
    }
}

fn refund<'de, D: Deserializer<'de>>(json: D) -> Result<RefundReason, D::Error> {
    match String::deserialize(json)?.as_str() {
        "REFUND_REASON_SEATS_GONE" => Ok(RefundReason::SeatsGone),
        "REFUND_REASON_BOOKING_CANCELLED" => Ok(RefundReason::BookingCancelled),
        "REFUND_REASON_OVERPAID" => Ok(RefundReason::Overpaid),
        _ => Err(D::Error::custom("no reason why money has to be given back")),
    }
}
