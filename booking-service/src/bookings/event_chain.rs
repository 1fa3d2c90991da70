//! The hash chain of a booking's events: each event contains the hash of the previous event.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A stored event.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub event_id: Uuid,
    pub booking_id: Uuid,
    pub version: i64,
    /// The event type. Example: `teppan.booking.created.v1`.
    pub kind: String,
    pub occurred_at: DateTime<Utc>,
    /// Exactly the stored bytes, because the hash covers them.
    pub data: String,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
}

/// Something that is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFault {
    pub event_id: Uuid,
    pub version: i64,
    pub kind: EventFaultKind,
    /// The names of the wrong fields, if the fault is about fields.
    pub fields: Vec<String>,
}

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", const_into_str)]
pub enum EventFaultKind {
    /// The versions of a booking's events must be 1, 2, 3 and so on.
    VersionGap,
    /// It does not contain the hash of the previous event.
    LinkBroken,
    /// Its hash does not match its contents.
    HashMismatch,
    /// Its contents do not match its type, or its type is unknown.
    #[strum(serialize = "EVENT_UNREADABLE")]
    Unreadable,
    /// It cannot happen in the state that the booking has after the previous events.
    IllegalTransition,
    /// A field has a value that contradicts the previous events.
    #[strum(serialize = "EVENT_CONTRADICTION")]
    Contradiction,
    /// After it, the booking would have a value that no booking can have.
    ImpossibleFigure,
}

/// PostgreSQL's epoch, 2000-01-01, in microseconds after 1970.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl StoredEvent {
    /// Computes the hash as the database's generated column does. Computing it here also detects a changed definition
    /// of that column.
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

/// The faults in the chain of a booking's events, which are in the order of their versions.
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
