//! Bookings and slots held against the events, and their repair.

pub mod bookings;
pub mod finding;
pub mod repair;
pub mod slots;

use teppan_shared::{clock::Clock, postgres::Database};

/// Bookings and slots beside what the events make of them.
pub struct Verification {
    pub database: Database,
    pub clock: Clock,
}
