//! What happened to a booking, as it is stored and published.
//!
//! Another type of event takes a struct for its JSON, a variant of [`EventData`] and a line in
//! [`EventData::read`].

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

use super::{
    BookingId, BookingStatus, CancellationInitiator, EventId, PaymentFailed, PaymentProcessing, PaymentRecorded,
    PaymentRefunded, RefundRequired,
};

/// The `source` of every event, as CloudEvents names it.
pub const EVENT_SOURCE: &str = "/teppan/booking-service";

/// An event in its envelope, with its place in its booking's chain.
#[derive(Debug, Clone)]
pub struct BookingEvent {
    pub id: EventId,
    /// Such as `teppan.booking.created.v1`.
    pub kind: String,
    pub booking_id: BookingId,
    /// Empty for an event that concerns no venue.
    pub venue_id: String,
    /// The booking's after this event.
    pub version: i64,
    pub occurred_at: DateTime<Utc>,
    pub traceparent: Option<String>,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
    /// `None` when this program cannot read it.
    pub data: Option<EventData>,
}

/// The contents of an event, by its type.
#[derive(Debug, Clone)]
pub enum EventData {
    BookingCreated(BookingCreated),
    BookingConfirmed(BookingConfirmed),
    BookingRescheduled(BookingRescheduled),
    BookingInstantCorrected(BookingInstantCorrected),
    BookingCancelled(BookingCancelled),
    BookingExpired(BookingExpired),
    BookingCompleted(BookingCompleted),
    BookingNoShow(BookingNoShow),
    PaymentRecorded(PaymentRecorded),
    PaymentFailed(PaymentFailed),
    PaymentProcessing(PaymentProcessing),
    PaymentRefunded(PaymentRefunded),
    RefundRequired(RefundRequired),
    WaitlistOffered(WaitlistOffered),
}

/// The contents of an event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// A newer replica wrote it.
    #[error("its type is not known to this version of the service")]
    UnknownType,
    #[error("its data are not what its type says")]
    Corrupted(#[from] serde_json::Error),
}

impl EventData {
    /// Reads the stored JSON of an event of this type.
    pub fn read(kind: &str, json: &str) -> Result<Self, UnreadableEvent> {
        match kind {
            "teppan.booking.created.v1" => Ok(Self::BookingCreated(serde_json::from_str(json)?)),
            "teppan.booking.confirmed.v1" => Ok(Self::BookingConfirmed(serde_json::from_str(json)?)),
            "teppan.booking.rescheduled.v1" => Ok(Self::BookingRescheduled(serde_json::from_str(json)?)),
            "teppan.booking.instant_corrected.v1" => Ok(Self::BookingInstantCorrected(serde_json::from_str(json)?)),
            "teppan.booking.cancelled.v1" => Ok(Self::BookingCancelled(serde_json::from_str(json)?)),
            "teppan.booking.expired.v1" => Ok(Self::BookingExpired(serde_json::from_str(json)?)),
            "teppan.booking.completed.v1" => Ok(Self::BookingCompleted(serde_json::from_str(json)?)),
            "teppan.booking.no_show.v1" => Ok(Self::BookingNoShow(serde_json::from_str(json)?)),
            "teppan.payment.recorded.v1" => Ok(Self::PaymentRecorded(serde_json::from_str(json)?)),
            "teppan.payment.failed.v1" => Ok(Self::PaymentFailed(serde_json::from_str(json)?)),
            "teppan.payment.processing.v1" => Ok(Self::PaymentProcessing(serde_json::from_str(json)?)),
            "teppan.payment.refunded.v1" => Ok(Self::PaymentRefunded(serde_json::from_str(json)?)),
            "teppan.payment.refund_required.v1" => Ok(Self::RefundRequired(serde_json::from_str(json)?)),
            "teppan.waitlist.offered.v1" => Ok(Self::WaitlistOffered(serde_json::from_str(json)?)),
            _ => Err(UnreadableEvent::UnknownType),
        }
    }
}

/// A booking was made. Amounts are minor units of `currency`; date and start time are the venue's.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingCreated {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub customer_id: Uuid,
    pub conversation_id: String,
    pub confirmation_code: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub time_zone: String,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub deposit_due_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
    /// The offer this booking is, if it is one. Events of before there was a waitlist lack it.
    #[serde(default)]
    pub waitlist_entry_id: Option<String>,
}

/// A booking became firm.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingConfirmed {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub time_zone: String,
    pub party_size: i32,
    #[serde(deserialize_with = "cause")]
    pub cause: ConfirmationCause,
    pub seats_retaken: bool,
}

/// How a booking became firm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationCause {
    DepositPaid,
    Requested,
}

/// A booking moved, or changed its party size. Date and start time are those of the new slot.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingRescheduled {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub previous_date: String,
    pub previous_start_time: String,
    pub previous_party_size: i32,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub time_zone: String,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub deposit_due_cents: i64,
    pub refund_due_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
}

/// The rules of the venue's time zone changed, and with them the instant that the booking's local time is. Date and
/// start time stay.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingInstantCorrected {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub previous_starts_at: DateTime<Utc>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub time_zone: String,
    /// The release of the rules that say so, such as `2026f`.
    pub time_zone_rules: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
}

/// A booking was cancelled and its seats are free.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingCancelled {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub party_size: i32,
    #[serde(deserialize_with = "initiator")]
    pub cancelled_by: CancellationInitiator,
    pub paid_cents: i64,
    pub refund_due_cents: i64,
    pub currency: String,
}

/// A hold ran out and its seats are free.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingExpired {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub party_size: i32,
    pub hold_expired_at: DateTime<Utc>,
    pub paid_cents: i64,
    pub refund_due_cents: i64,
    pub currency: String,
    /// Of an offer, which lapsed with it.
    pub waitlist_entry_id: Option<String>,
}

/// A booking took place.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingCompleted {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub party_size: i32,
}

/// The customer did not come.
#[derive(Debug, Clone, Deserialize)]
pub struct BookingNoShow {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub conversation_id: String,
    pub party_size: i32,
}

/// Seats that came free are held for a customer who waited. Follows [`BookingCreated`] of that booking.
#[derive(Debug, Clone, Deserialize)]
pub struct WaitlistOffered {
    pub booking_id: Uuid,
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    #[serde(deserialize_with = "status")]
    pub status: BookingStatus,
    pub occurred_at: DateTime<Utc>,
    pub waitlist_entry_id: Uuid,
    pub customer_id: Uuid,
    pub conversation_id: String,
    pub party_size: i32,
    pub offer_expires_at: DateTime<Utc>,
    pub deposit_due_cents: i64,
    pub currency: String,
}

/// A status as the contract names it, such as `BOOKING_STATUS_PENDING`.
pub(super) fn status<'de, D: Deserializer<'de>>(json: D) -> Result<BookingStatus, D::Error> {
    let name = String::deserialize(json)?;
    let status = name.strip_prefix("BOOKING_STATUS_").and_then(BookingStatus::from_column);
    status.ok_or_else(|| D::Error::custom("no status of a booking"))
}

fn cause<'de, D: Deserializer<'de>>(json: D) -> Result<ConfirmationCause, D::Error> {
    match String::deserialize(json)?.as_str() {
        "CONFIRMATION_CAUSE_DEPOSIT_PAID" => Ok(ConfirmationCause::DepositPaid),
        "CONFIRMATION_CAUSE_REQUESTED" => Ok(ConfirmationCause::Requested),
        _ => Err(D::Error::custom("no cause of a confirmation")),
    }
}

fn initiator<'de, D: Deserializer<'de>>(json: D) -> Result<CancellationInitiator, D::Error> {
    let name = String::deserialize(json)?;
    let initiator = name.strip_prefix("CANCELLATION_INITIATOR_").and_then(CancellationInitiator::from_column);
    initiator.ok_or_else(|| D::Error::custom("nobody who cancels a booking"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        assert!(matches!(EventData::read("teppan.booking.moved.v9", "{}"), Err(UnreadableEvent::UnknownType)));
        assert!(matches!(EventData::read("teppan.booking.created.v1", "{}"), Err(UnreadableEvent::Corrupted(_))));
    }
}
