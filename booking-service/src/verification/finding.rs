//! The findings of verify-events: ids, figures and column names, never personal data.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::{
    bookings::event_chain::{EventFault, EventFaultKind},
    domain::SlotKey,
};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", const_into_str)]
pub enum FindingReason {
    Event(EventFaultKind),
    /// The booking has no events.
    NoEvents,
    /// The row does not hold the hash of the last event: the row or the event was altered, or events are missing.
    ChainEnd,
    /// The row differs from the row that the events give.
    RowDiffers,
    /// The sums over the booking's payments differ from the figures that the events give.
    PaymentsDiffer,
    /// The event's hash is not the one that a checkpoint states, even if the chain is unbroken.
    EventAltered,
    /// A checkpoint names an event that does not exist.
    EventMissing,
    /// No checkpoint names the event, although checkpoints have reached its position or its age.
    EventNotAnchored,
    /// Checkpoints are missing.
    CheckpointMissing,
    /// A checkpoint's signature does not match, or it does not continue the checkpoint before it.
    CheckpointForged,
    /// The checkpoint in the file is not in the database, or differs.
    CheckpointDiverged,
    /// The booking's instant differs from its local time by the time zone rules in force.
    WrongInstant,
    /// The slot's reserved seats differ from the seats of its live bookings.
    SlotMiscounts,
    /// The taken seats of an area on a day differ from the seats of the live bookings in it.
    AreaMiscounts,
}

impl FindingReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event(kind) => kind.into_str(),
            other => other.into_str(),
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Event(EventFaultKind::VersionGap) => {
                "an event before this one is missing, or this version exists twice"
            }
            Self::Event(EventFaultKind::LinkBroken) => "the event does not contain the hash of the event before it",
            Self::Event(EventFaultKind::HashMismatch) => "the event's hash does not match its contents",
            Self::Event(EventFaultKind::Unreadable) => "the event's contents do not match its type",
            Self::Event(EventFaultKind::IllegalTransition) => "the booking's state before does not allow this event",
            Self::Event(EventFaultKind::Contradiction) => "the event contradicts the events before it",
            Self::Event(EventFaultKind::ImpossibleFigure) => "the event has figures that no booking can have",
            Self::NoEvents => "the booking has no events",
            Self::ChainEnd => "the row does not hold the hash of the last event",
            Self::RowDiffers => "the row differs from the row that the events give",
            Self::PaymentsDiffer => "the booking's payments differ from the figures that its events give",
            Self::EventAltered => "the event is not the one that a signed checkpoint states",
            Self::EventMissing => "a signed checkpoint names this event, which does not exist",
            Self::EventNotAnchored => "no signed checkpoint names this event, which must be covered by now",
            Self::CheckpointMissing => "checkpoints are missing",
            Self::CheckpointForged => "the checkpoint was altered, or signed with another key",
            Self::CheckpointDiverged => "the checkpoint in the file is not in the database, or differs",
            Self::WrongInstant => "the booking's instant differs from its local time by the time zone rules in force",
            Self::SlotMiscounts => "the slot's reserved seats differ from the seats of its live bookings",
            Self::AreaMiscounts => "the area's taken seats differ from the seats of the live bookings in it",
        }
    }
}

impl Serialize for FindingReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One difference, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub reason: FindingReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// The version of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The columns of the row, or the fields of the event, that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<CheckpointRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<MiscountedSlot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<MiscountedArea>,
}

/// The numbers of consecutive checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CheckpointRange {
    pub first: i64,
    pub last: i64,
}

/// A slot whose reserved seats are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MiscountedSlot {
    pub venue_id: Uuid,
    pub date: String,
    pub start_time: String,
    /// The reserved seats that the slot's row counts.
    pub reserved: i32,
    /// The seats that its live bookings take by their events.
    pub booked: i64,
    pub capacity: i32,
}

/// A day on which the taken seats of an area are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MiscountedArea {
    pub venue_id: Uuid,
    pub area: String,
    /// When the day of ticks begins.
    pub since: DateTime<Utc>,
}

impl Finding {
    fn new(reason: FindingReason) -> Self {
        let (booking_id, event_id, version, fields) = (None, None, None, Vec::new());
        Self { reason, booking_id, event_id, version, fields, checkpoints: None, slot: None, area: None }
    }

    pub fn of_booking(booking_id: Uuid, reason: FindingReason, fields: Vec<String>) -> Self {
        Self { booking_id: Some(booking_id), fields, ..Self::new(reason) }
    }

    pub fn of_event(booking_id: Uuid, fault: EventFault) -> Self {
        let EventFault { event_id, version, kind, fields } = fault;
        Self { fields, ..Self::of_version(booking_id, Some(event_id), version, FindingReason::Event(kind)) }
    }

    /// `event_id` is unknown for an event that does not exist.
    pub fn of_version(booking_id: Uuid, event_id: Option<Uuid>, version: i64, reason: FindingReason) -> Self {
        Self { booking_id: Some(booking_id), event_id, version: Some(version), ..Self::new(reason) }
    }

    pub fn of_checkpoints(reason: FindingReason, checkpoints: CheckpointRange, fields: Vec<String>) -> Self {
        Self { checkpoints: Some(checkpoints), fields, ..Self::new(reason) }
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
        Self { slot: Some(slot), ..Self::new(FindingReason::SlotMiscounts) }
    }

    pub fn of_area(area: MiscountedArea) -> Self {
        Self { area: Some(area), ..Self::new(FindingReason::AreaMiscounts) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        if let Some(booking_id) = self.booking_id {
            write!(f, " booking={booking_id}")?;
        }
        if let Some(event_id) = self.event_id {
            write!(f, " event={event_id}")?;
        }
        if let Some(version) = self.version {
            write!(f, " version={version}")?;
        }
        match self.checkpoints {
            Some(CheckpointRange { first, last }) if first == last => write!(f, " checkpoint={first}")?,
            Some(CheckpointRange { first, last }) => write!(f, " checkpoints={first}-{last}")?,
            None => {}
        }
        if !self.fields.is_empty() {
            write!(f, " fields={}", self.fields.join(","))?;
        }
        if let Some(slot) = &self.slot {
            let MiscountedSlot { venue_id, date, start_time, reserved, booked, capacity } = slot;
            write!(f, " venue={venue_id} date={date} start_time={start_time}")?;
            write!(f, " reserved={reserved} booked={booked} capacity={capacity}")?;
        }
        if let Some(MiscountedArea { venue_id, area, since }) = &self.area {
            write!(f, " venue={venue_id} area={area} since={}", since.format("%Y-%m-%dT%H:%MZ"))?;
        }
        write!(f, ": {}", self.reason.meaning())
    }
}
