use chrono::{DateTime, Utc};

use crate::{
    bookings::event_data::EventData,
    domain::{BookingId, EventId},
};

/// An event in its envelope, with its position in its booking's chain.
#[derive(Debug, Clone)]
pub struct BookingEvent {
    pub id: EventId,
    /// Such as `teppan.booking.created.v1`.
    pub kind: String,
    pub booking_id: BookingId,
    /// Empty for an event that concerns no venue.
    pub venue_id: String,
    /// The version of the booking after this event.
    pub version: i64,
    pub occurred_at: DateTime<Utc>,
    pub traceparent: Option<String>,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
    /// `None` when this version of the service cannot read it.
    pub data: Option<EventData>,
}
