//! booking-service: venues, their slots, and bookings.

pub mod app;
mod bookings;
pub mod checkpoints;
pub mod commands;
mod customers;
pub mod domain;
mod event_stream;
mod floors;
mod grpc;
pub mod outbox;
mod payments;
pub mod settings;
mod slots;
mod stripe;
mod venues;
mod verification;
mod waitlist;

/// Rules that the schema implements too. A test compares them with the SQL functions.
#[doc(hidden)]
pub mod rules {
    pub use crate::{
        slots::row::{SlotRow, slot_refusal},
        venues::policy::VenuePolicy,
    };
}
