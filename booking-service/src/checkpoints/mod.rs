//! Signed checkpoints of the events, with which `verify-events` notices that history was rewritten.
//!
//! The events of a booking form a hash chain, but whoever can write to the database can compute the chain again. A
//! checkpoint states the hashes of a batch of events and is signed with a key that is not in the database. Nothing is
//! added to any call: a worker writes checkpoints after the events are committed. Each is also published as an event,
//! so that a consumer can keep a record outside the database.

pub mod checkpoint;
pub mod keys;
pub mod resign;
pub mod write;

use teppan_shared::{clock::Clock, postgres::Database};

use self::keys::CheckpointKeys;

/// Writes and signs checkpoints.
pub struct Checkpoints {
    pub database: Database,
    pub clock: Clock,
    pub keys: CheckpointKeys,
}
