//! What verify-events finds, told in ids, figures and names of columns, never in personal data.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::{
    bookings::event_chain::{EventFault, EventFaultKind},
    domain::SlotKey,
};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingReason {
    Event(EventFaultKind),
    /// A booking without any event.
    NoEvents,
    /// The row does not hold the hash of the last event: one of the two was altered, or events are missing.
    ChainEnd,
    /// The row is not what the events make of it.
    RowDiffers,
    /// The booking does not begin when its local time is, by the rules of time zones in force.
    WrongInstant,
    /// The slot does not count the seats of its live bookings.
    SlotMiscounts,
}

impl FindingReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event(EventFaultKind::VersionGap) => "VERSION_GAP",
            Self::Event(EventFaultKind::LinkBroken) => "LINK_BROKEN",
            Self::Event(EventFaultKind::HashMismatch) => "HASH_MISMATCH",
            Self::Event(EventFaultKind::Unreadable) => "EVENT_UNREADABLE",
            Self::Event(EventFaultKind::IllegalTransition) => "ILLEGAL_TRANSITION",
            Self::Event(EventFaultKind::Contradiction) => "EVENT_CONTRADICTION",
            Self::Event(EventFaultKind::ImpossibleFigure) => "IMPOSSIBLE_FIGURE",
            Self::NoEvents => "NO_EVENTS",
            Self::ChainEnd => "CHAIN_END",
            Self::RowDiffers => "ROW_DIFFERS",
            Self::WrongInstant => "WRONG_INSTANT",
            Self::SlotMiscounts => "SLOT_MISCOUNTS",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Event(EventFaultKind::VersionGap) => "an event is missing before this one, or is there twice",
            Self::Event(EventFaultKind::LinkBroken) => "the event does not carry the hash of the one before it",
            Self::Event(EventFaultKind::HashMismatch) => "the event's hash is not that of its contents",
            Self::Event(EventFaultKind::Unreadable) => "the event's contents are not what its type says",
            Self::Event(EventFaultKind::IllegalTransition) => "this cannot happen to the booking as it was",
            Self::Event(EventFaultKind::Contradiction) => "the event says what does not follow from those before it",
            Self::Event(EventFaultKind::ImpossibleFigure) => "no booking can have these figures",
            Self::NoEvents => "the booking has no events",
            Self::ChainEnd => "the row does not hold the hash of the last event",
            Self::RowDiffers => "the row is not what the events make of it",
            Self::WrongInstant => "the booking does not begin when its local time is by the time zone rules in force",
            Self::SlotMiscounts => "the slot does not count the seats of its live bookings",
        }
    }
}

impl Serialize for FindingReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub reason: FindingReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// The event's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Columns of the row, or figures of the event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<MiscountedSlot>,
}

/// A slot, and what it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MiscountedSlot {
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    /// What the slot says.
    pub reserved: i32,
    /// What its live bookings take by their events.
    pub booked: i64,
    pub capacity: i32,
}

impl Finding {
    pub fn of_booking(booking_id: Uuid, reason: FindingReason, fields: Vec<String>) -> Self {
        Self { reason, booking_id: Some(booking_id), event_id: None, version: None, fields, slot: None }
    }

    pub fn of_event(booking_id: Uuid, fault: EventFault) -> Self {
        let reason = FindingReason::Event(fault.kind);
        let (event_id, version) = (Some(fault.event_id), Some(fault.version));
        Self { reason, booking_id: Some(booking_id), event_id, version, fields: fault.fields, slot: None }
    }

    pub fn of_slot(slot: SlotKey, reserved: i32, booked: i64, capacity: i32) -> Self {
        let slot = MiscountedSlot {
            venue_id: slot.venue_id.0,
            date: slot.date.to_string(),
            start_time: slot.start_time.format("%H:%M").to_string(),
            reserved,
            booked,
            capacity,
        };
        let reason = FindingReason::SlotMiscounts;
        Self { reason, booking_id: None, event_id: None, version: None, fields: Vec::new(), slot: Some(slot) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        if let Some(booking_id) = self.booking_id {
            write!(f, " booking={booking_id}")?;
        }
        if let (Some(event_id), Some(version)) = (self.event_id, self.version) {
            write!(f, " event={event_id} version={version}")?;
        }
        if !self.fields.is_empty() {
            write!(f, " fields={}", self.fields.join(","))?;
        }
        if let Some(slot) = &self.slot {
            let MiscountedSlot { venue_id, date, start_time, reserved, booked, capacity } = slot;
            write!(f, " venue={venue_id} date={date} start_time={start_time}")?;
            write!(f, " reserved={reserved} booked={booked} capacity={capacity}")?;
        }
        write!(f, ": {}", self.reason.meaning())
    }
}
