//! What happened to a booking, as it is stored and published.
//!
//! Another type of event takes a struct for its JSON, a variant of [`EventData`] and a line in
//! [`EventData::read`].

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

use super::{BookingId, BookingStatus, EventId};

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

/// A status as the contract names it, such as `BOOKING_STATUS_PENDING`.
pub(super) fn status<'de, D: Deserializer<'de>>(json: D) -> Result<BookingStatus, D::Error> {
    let name = String::deserialize(json)?;
    let status = name.strip_prefix("BOOKING_STATUS_").and_then(BookingStatus::from_column);
    status.ok_or_else(|| D::Error::custom("no status of a booking"))
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
