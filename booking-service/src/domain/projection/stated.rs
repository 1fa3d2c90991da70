//! What an event says about its booking, whatever its type.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::BookingColumns;
use crate::domain::{BookingStatus, CancellationInitiator, event::status, parse_date, parse_start_time};

/// The figures of an event. The first seven are in every event of a booking; of the others each type has
/// its own, and what is there is held against the booking.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stated {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub customer_id: Option<Uuid>,
    pub conversation_id: Option<String>,
    pub confirmation_code: Option<String>,
    pub starts_at: Option<DateTime<Utc>>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub party_size: Option<i32>,
    pub price_per_person_cents: Option<i64>,
    pub total_cents: Option<i64>,
    pub deposit_due_cents: Option<i64>,
    pub currency: Option<String>,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub hold_expired_at: Option<DateTime<Utc>>,
    pub seats_retaken: Option<bool>,
    pub waitlist_entry_id: Option<Uuid>,
    pub previous_date: Option<String>,
    pub previous_start_time: Option<String>,
    pub previous_party_size: Option<i32>,
    pub cancelled_by: Option<String>,
    pub amount_cents: Option<i64>,
    pub paid_cents: Option<i64>,
    pub refunded_cents: Option<i64>,
    pub refund_due_cents: Option<i64>,
}

impl Stated {
    pub fn slot(&self) -> Option<(NaiveDate, NaiveTime)> {
        Some((parse_date(&self.date).ok()?, parse_start_time(&self.start_time).ok()?))
    }

    pub fn initiator(&self) -> Option<CancellationInitiator> {
        CancellationInitiator::from_column(self.cancelled_by.as_deref()?.strip_prefix("CANCELLATION_INITIATOR_")?)
    }

    /// What it says of the booking after it that is not so.
    pub fn contradictions(&self, after: &BookingColumns) -> Vec<&'static str> {
        let slot = Some((after.slot_date, after.start_time));
        let checks = [
            ("booking_id", self.booking_id == after.booking_id),
            ("venue_id", self.venue_id == after.venue_id),
            ("date", self.slot() == slot),
            ("booking_version", self.booking_version == after.version),
            ("status", self.status == after.status),
            ("occurred_at", self.occurred_at == after.updated_at),
            ("customer_id", agrees(self.customer_id.as_ref(), &after.customer_id)),
            ("conversation_id", agrees(self.conversation_id.as_ref(), &after.conversation_id)),
            ("confirmation_code", agrees(self.confirmation_code.as_ref(), &after.confirmation_code)),
            ("starts_at", agrees(self.starts_at.as_ref(), &after.starts_at)),
            ("ends_at", agrees(self.ends_at.as_ref(), &after.ends_at)),
            ("party_size", agrees(self.party_size.as_ref(), &after.party_size)),
            ("price_per_person_cents", agrees(self.price_per_person_cents.as_ref(), &after.price_per_person_cents)),
            ("total_cents", agrees(self.total_cents.as_ref(), &after.total_cents)),
            ("deposit_due_cents", agrees(self.deposit_due_cents.as_ref(), &after.deposit_due_cents)),
            ("currency", agrees(self.currency.as_ref(), &after.currency)),
            ("paid_cents", agrees(self.paid_cents.as_ref(), &after.paid_cents)),
            ("refunded_cents", agrees(self.refunded_cents.as_ref(), &after.refunded_cents)),
            ("refund_due_cents", agrees(self.refund_due_cents.as_ref(), &after.refund_due_cents)),
        ];
        checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }

    /// What it says of the booking before it that was not so.
    pub fn contradictions_before(&self, before: &BookingColumns) -> Vec<&'static str> {
        let date = before.slot_date.to_string();
        let time = before.start_time.format("%H:%M").to_string();
        let held = self.hold_expired_at.is_none() || self.hold_expired_at == before.hold_expires_at;
        let checks = [
            ("previous_date", agrees(self.previous_date.as_ref(), &date)),
            ("previous_start_time", agrees(self.previous_start_time.as_ref(), &time)),
            ("previous_starts_at", agrees(self.previous_starts_at.as_ref(), &before.starts_at)),
            ("previous_party_size", agrees(self.previous_party_size.as_ref(), &before.party_size)),
            ("hold_expired_at", held),
        ];
        checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }
}

/// What is not said contradicts nothing.
fn agrees<T: PartialEq>(stated: Option<&T>, stands: &T) -> bool {
    stated.is_none_or(|stated| stated == stands)
}
