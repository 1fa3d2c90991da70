//! The columns of `bookings` that events determine.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::domain::{BookingStatus, CancellationInitiator};

/// What the row of a booking says of all that its events determine, under the names of the columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookingColumns {
    pub booking_id: Uuid,
    pub confirmation_code: String,
    #[serde(serialize_with = "status")]
    pub status: BookingStatus,
    pub venue_id: Uuid,
    pub slot_date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub customer_id: Uuid,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub deposit_due_cents: i64,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "initiator")]
    pub cancelled_by: Option<CancellationInitiator>,
    pub conversation_id: String,
    pub waitlist_entry_id: Option<Uuid>,
    pub version: i64,
    #[serde(serialize_with = "bytes")]
    pub event_hash: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl BookingColumns {
    /// The columns in which a row is not this.
    pub fn differing(&self, row: &Self) -> Vec<&'static str> {
        let columns = [
            ("booking_id", self.booking_id == row.booking_id),
            ("confirmation_code", self.confirmation_code == row.confirmation_code),
            ("status", self.status == row.status),
            ("venue_id", self.venue_id == row.venue_id),
            ("slot_date", self.slot_date == row.slot_date),
            ("start_time", self.start_time == row.start_time),
            ("starts_at", self.starts_at == row.starts_at),
            ("ends_at", self.ends_at == row.ends_at),
            ("customer_id", self.customer_id == row.customer_id),
            ("party_size", self.party_size == row.party_size),
            ("price_per_person_cents", self.price_per_person_cents == row.price_per_person_cents),
            ("total_cents", self.total_cents == row.total_cents),
            ("deposit_due_cents", self.deposit_due_cents == row.deposit_due_cents),
            ("paid_cents", self.paid_cents == row.paid_cents),
            ("refunded_cents", self.refunded_cents == row.refunded_cents),
            ("refund_due_cents", self.refund_due_cents == row.refund_due_cents),
            ("currency", self.currency == row.currency),
            ("hold_expires_at", self.hold_expires_at == row.hold_expires_at),
            ("confirmed_at", self.confirmed_at == row.confirmed_at),
            ("cancelled_at", self.cancelled_at == row.cancelled_at),
            ("cancelled_by", self.cancelled_by == row.cancelled_by),
            ("conversation_id", self.conversation_id == row.conversation_id),
            ("waitlist_entry_id", self.waitlist_entry_id == row.waitlist_entry_id),
            ("version", self.version == row.version),
            ("event_hash", self.event_hash == row.event_hash),
            ("created_at", self.created_at == row.created_at),
            ("updated_at", self.updated_at == row.updated_at),
        ];
        columns.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }

    /// The figures that no booking can have; the constraints of the table say the same.
    pub(super) fn impossible(&self) -> Vec<&'static str> {
        let total = self.price_per_person_cents.checked_mul(self.party_size.into());
        let checks = [
            ("party_size", (1..=50).contains(&self.party_size)),
            ("total_cents", total == Some(self.total_cents)),
            ("deposit_due_cents", (0..=self.total_cents).contains(&self.deposit_due_cents)),
            ("paid_cents", self.paid_cents >= 0),
            ("refunded_cents", self.refunded_cents >= 0),
            ("refund_due_cents", (0..=self.paid_cents).contains(&self.refund_due_cents)),
            ("hold_expires_at", (self.status == BookingStatus::Pending) == self.hold_expires_at.is_some()),
        ];
        checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over the field")]
fn status<S: Serializer>(status: &BookingStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_column())
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands over the field")]
fn initiator<S: Serializer>(by: &Option<CancellationInitiator>, serializer: S) -> Result<S::Ok, S::Error> {
    by.map(CancellationInitiator::as_column).serialize(serializer)
}

/// As PostgreSQL reads them.
fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    use std::fmt::Write as _;

    let mut text = String::from("\\x");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    serializer.serialize_str(&text)
}
