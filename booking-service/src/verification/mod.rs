//! Compares bookings and slots with the events, and repairs them.

pub mod anchors;
pub mod areas;
pub mod bookings;
pub mod checkpoints;
pub mod finding;
pub mod payments;
pub mod repair;
pub mod slots;

use teppan_shared::{clock::Clock, postgres::Database};

use crate::checkpoints::keys::CheckpointKeys;

/// Compares bookings and slots with what their events give.
pub struct Verification {
    pub database: Database,
    pub clock: Clock,
    pub checkpoint_keys: CheckpointKeys,
}
