//! The chain of a booking's events: each carries the hash of the one before it.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub event_id: Uuid,
    pub booking_id: Uuid,
    pub version: i64,
    /// Such as `teppan.booking.created.v1`.
    pub kind: String,
    pub occurred_at: DateTime<Utc>,
    /// Byte by byte as it is stored: the hash is over these.
    pub data: String,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
}

/// Something about an event that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFault {
    pub event_id: Uuid,
    pub version: i64,
    pub kind: EventFaultKind,
    /// Which of the event's figures, where it is about those.
    pub fields: Vec<String>,
}

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFaultKind {
    /// The versions of a booking are 1, 2, 3 and so on.
    VersionGap,
    /// It does not carry the hash of the event before it.
    LinkBroken,
    /// Its hash is not that of its contents.
    HashMismatch,
    /// Its contents are not what its type says, or its type is unknown.
    Unreadable,
    /// It cannot happen to a booking in the state in which the events before it leave it.
    IllegalTransition,
    /// It says of the booking what does not follow from it and the events before it.
    Contradiction,
    /// After it the booking would be as no booking can be.
    ImpossibleFigure,
}

/// PostgreSQL's epoch, 2000-01-01, in microseconds after 1970.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl StoredEvent {
    /// The hash as the database's generated column makes it, computed here, so that an alteration of that
    /// column's definition is seen too.
    pub fn computed_hash(&self) -> [u8; 32] {
        let micros = self.occurred_at.timestamp_micros().wrapping_sub(POSTGRES_EPOCH_MICROS);
        let mut hash = Sha256::new();
        hash.update(&self.previous_hash);
        hash.update(self.event_id.as_bytes());
        hash.update(self.booking_id.as_bytes());
        hash.update(self.version.to_be_bytes());
        hash.update(micros.to_be_bytes());
        hash.update(self.kind.as_bytes());
        hash.update(self.data.as_bytes());
        hash.finalize().into()
    }

    pub fn fault(&self, kind: EventFaultKind, fields: Vec<String>) -> EventFault {
        EventFault { event_id: self.event_id, version: self.version, kind, fields }
    }
}

/// What is wrong with the chain of a booking's events, which are in the order of their versions.
pub fn chain_faults(events: &[StoredEvent]) -> Vec<EventFault> {
    let mut faults = Vec::new();
    let (mut version, mut hash) = (0, &[][..]);
    for event in events {
        if event.version != version + 1 {
            faults.push(event.fault(EventFaultKind::VersionGap, Vec::new()));
        }
        if event.previous_hash != hash {
            faults.push(event.fault(EventFaultKind::LinkBroken, Vec::new()));
        }
        if event.hash != event.computed_hash() {
            faults.push(event.fault(EventFaultKind::HashMismatch, Vec::new()));
        }
        (version, hash) = (event.version, &event.hash);
    }
    faults
}
