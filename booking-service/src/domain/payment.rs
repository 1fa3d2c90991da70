//! Payments: movements of money.

use chrono::{DateTime, TimeDelta, Utc};

use serde::{Deserialize, Serialize};

use super::{BookingId, Currency, Etag, IdempotencyKey};

/// The direction in which money moves.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentKind {
    /// From the customer.
    Charge,
    /// Back to the customer.
    Refund,
}

/// The means by which money moves.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentMethod {
    /// Recorded by Stripe's webhooks only.
    Stripe,
    Cash,
    CardTerminal,
    BankTransfer,
    Voucher,
    Other,
}

/// The state of a payment. Succeeded payments count, and so does the undisputed part of disputed charges.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentStatus {
    Succeeded,
    /// The attempt failed. A refund with this status failed later, and its amount counts as paid again.
    Failed,
    Cancelled,
    Disputed,
    /// The bank has not decided yet.
    Processing,
}

/// A movement of money, or the state of an attempt to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyMove {
    /// Money came in.
    Received,
    /// Money was refunded.
    Refunded,
    /// A refund failed: its amount counts as paid again.
    RefundFailed,
    /// An attempt failed.
    Declined,
    /// Cancelled before money moved.
    Cancelled,
    /// The bank has not decided yet.
    Processing,
    /// The payer's bank took money back because of a dispute.
    Disputed,
    /// The bank returned money that it had taken.
    DisputeWon,
}

impl MoneyMove {
    /// Whether this concerns an attempt to pay, and not a later refund or dispute.
    pub fn is_of_attempt(self) -> bool {
        matches!(self, Self::Received | Self::Declined | Self::Cancelled | Self::Processing)
    }
}

/// An amount in minor units, 1 to 100,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmountCents(i64);

impl AmountCents {
    pub const MAX: i64 = 100_000_000_000;

    pub fn parse(raw: i64) -> Result<Self, &'static str> {
        if (1..=Self::MAX).contains(&raw) { Ok(Self(raw)) } else { Err("must be 1 to 100,000,000,000 minor units") }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

/// The id of a movement in the system that moved the money: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalReference(String);

impl ExternalReference {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let printable = raw.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=255).contains(&raw.len()) {
            Ok(Self(raw))
        } else {
            Err("must be at most 255 printable ASCII characters")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks when money moved: at most 5 minutes ahead of the service's clock, because the client's clock may be ahead.
pub fn parse_moved_at(at: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, &'static str> {
    const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);
    let epoch = DateTime::UNIX_EPOCH;
    if (epoch..=now + AHEAD_MAX).contains(&at) {
        Ok(at)
    } else {
        Err("must be a time since 1970 and at most 5 minutes ahead of the service's clock")
    }
}

/// A request to record money that moved by other means than Stripe.
#[derive(Debug, Clone)]
pub struct NewPayment {
    pub key: IdempotencyKey,
    pub booking_id: BookingId,
    pub etag: Option<Etag>,
    pub kind: PaymentKind,
    pub method: PaymentMethod,
    pub amount: AmountCents,
    pub currency: Currency,
    pub external_reference: Option<ExternalReference>,
    /// `None`: now.
    pub occurred_at: Option<DateTime<Utc>>,
    /// A tip, or an extra beyond the price: it is never owed.
    pub is_extra: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_at_least_1_and_at_most_100_000_000_000_minor_units() {
        for (raw, is_one) in [(0, false), (-1, false), (1, true), (100_000_000_000, true), (100_000_000_001, false)] {
            assert_eq!(AmountCents::parse(raw).is_ok(), is_one, "{raw}");
        }
    }
}
