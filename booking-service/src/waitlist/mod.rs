//! The waitlist: queues for full slots, and offers of freed seats.

pub mod close_entries;
pub mod freed_seats;
pub mod join;
pub mod leave;
pub mod list;
pub mod offer;
pub mod review;
pub mod row;

use std::sync::Arc;

use teppan_shared::{
    clock::Clock,
    outbox::Outbox,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

use self::freed_seats::FreedSeats;
use crate::{
    bookings::{Bookings, metrics::BookingMetrics, slot_queue::SlotQueues},
    customers::Customers,
    event_stream::stream::LiveStreams,
};

/// The use cases of the waitlist.
pub struct Waitlist {
    pub freed_seats: FreedSeats,
    pub database: Database,
    pub clock: Clock,
    pub ring: KeyRing,
    pub fingerprint: KeyedHash,
    pub customers: Arc<Customers>,
    pub bookings: Arc<Bookings>,
    pub slot_queues: Arc<SlotQueues>,
    pub live: Arc<LiveStreams>,
    pub outbox: Outbox,
    pub metrics: Arc<BookingMetrics>,
}
