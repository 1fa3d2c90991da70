//! What every use case works with. Each use case is a method of [`Core`], in a file of its own.

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

use crate::{
    stream_booking_events::{EventStreamSettings, LiveStreams},
    turns::Turns,
};

/// The service behind its gRPC and HTTP faces.
pub struct Core {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ring: KeyRing,
    /// Finds customers by their normalised e-mail.
    pub(crate) email_hash: KeyedHash,
    /// Tells whether two requests with one idempotency key are the same.
    pub(crate) fingerprint: KeyedHash,
    pub(crate) turns: Turns,
    /// Readers that follow what happens to bookings.
    pub(crate) live: LiveStreams,
}

impl Core {
    pub fn new(database: Database, keys: &Keys, clock: Clock, event_stream: EventStreamSettings) -> Self {
        Self {
            database,
            clock,
            ring: keys.ring(),
            email_hash: KeyedHash::derive(&keys.hash, "teppan booking customers.email_hash"),
            fingerprint: KeyedHash::derive(&keys.hash, "teppan booking idempotency_keys.fingerprint"),
            turns: Turns::default(),
            live: LiveStreams::new(event_stream),
        }
    }
}
