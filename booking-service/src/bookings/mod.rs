//! Bookings: how they are created, changed and read.
//!
//! CreateBooking is one statement. Every other change has three steps: load (`load.rs`), decide (a pure function beside
//! its use case) and commit (`commit.rs`). `change.rs` is the loop around these steps.

pub mod assign_tables;
pub mod begin;
pub mod booking;
pub mod cancel;
pub mod change;
pub mod commit;
pub mod confirm;
pub mod correct_instants;
pub mod create;
pub mod decision;
pub mod derive;
pub mod details;
pub mod end;
pub mod event_chain;
pub mod event_data;
pub mod expire_holds;
#[cfg(test)]
pub mod fixtures;
pub mod fold;
pub mod get;
pub mod key_retention;
pub mod list;
pub mod list_floor;
pub mod load;
pub mod metrics;
pub mod preview;
pub mod quote;
pub mod refund;
pub mod reinstate;
pub mod reschedule;
pub mod seat;
#[cfg(test)]
mod simulation_tests;
pub mod slot_queue;
pub mod update;

use std::sync::Arc;

use teppan_shared::{
    clock::Clock,
    gather::Gatherer,
    keys::Keys,
    outbox::{Outbox, Relay},
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

use self::{create::many::Creations, metrics::BookingMetrics, slot_queue::SlotQueues};
use crate::waitlist::freed_seats::FreedSeats;
use crate::{customers::Customers, event_stream::stream::LiveStreams, outbox::ConversationService};

/// The use cases of bookings, and the services that are informed of changes.
pub struct Bookings {
    pub database: Database,
    pub clock: Clock,
    pub ring: KeyRing,
    /// Recognises a second request with one idempotency key.
    pub fingerprint: KeyedHash,
    pub customers: Arc<Customers>,
    /// Gathers the calls of CreateBooking.
    pub gatherer: Gatherer<Creations>,
    pub slot_queues: Arc<SlotQueues>,
    /// The open streams of booking events.
    pub live: Arc<LiveStreams>,
    /// Wakes the worker that offers freed seats.
    pub freed_seats: FreedSeats,
    pub outbox: Outbox,
    /// Schedules a new booking's follow-up before the reply, if that is configured.
    pub inline: Option<Relay<ConversationService>>,
    pub metrics: Arc<BookingMetrics>,
}

/// The hash by which a second request with one idempotency key is recognised.
pub fn fingerprint(keys: &Keys) -> KeyedHash {
    keys.hash("teppan booking idempotency_keys.fingerprint")
}
