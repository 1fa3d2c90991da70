//! StreamBookingEvents: streams the events of bookings in the order of their commits.

pub mod event;
pub mod stream;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database};

use self::stream::LiveStreams;

/// Reads the event table for StreamBookingEvents.
pub struct BookingEvents {
    pub database: Database,
    pub clock: Clock,
    pub live: Arc<LiveStreams>,
}
