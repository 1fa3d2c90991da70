//! Compares bookings and slots with the events, and repairs them.

pub mod bookings;
pub mod finding;
pub mod repair;
pub mod slots;

use teppan_shared::{clock::Clock, postgres::Database};

/// Compares bookings and slots with what their events give.
pub struct Verification {
    pub database: Database,
    pub clock: Clock,
}
