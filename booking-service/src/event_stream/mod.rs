//! StreamBookingEvents.

pub mod event;
pub mod stream;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database};

use self::stream::LiveStreams;

/// The events of bookings, as StreamBookingEvents shows them.
pub struct BookingEvents {
    pub database: Database,
    pub clock: Clock,
    pub live: Arc<LiveStreams>,
}
