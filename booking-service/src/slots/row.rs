use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;

use crate::{
    domain::{AreaKey, FloorState, Place, Refusal, SlotFacts, SlotKey, VenueId},
    venues::policy::VenuePolicy,
};

/// A slot. Read as the JSON of its row.
#[derive(Debug, Clone, Deserialize)]
pub struct SlotRow {
    pub venue_id: VenueId,
    pub slot_date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i32,
    pub reserved: i32,
    pub price_per_person_cents: i64,
    pub state: SlotState,
    /// Whether SetFloor has marked the slot; see 0015_floors.sql.
    pub has_floor: bool,
}

/// When a party sits at a slot, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seating {
    pub ends_at: DateTime<Utc>,
    /// The place, and until when it is taken; `None` for a venue without a floor.
    pub place: Option<(Place, DateTime<Utc>)>,
}

/// Where a party sits that books a slot. The floor is that of the slot's venue, with the days of the sitting. The party
/// keeps tables that it has already, if they fit.
///
/// # Errors
/// `AreaNotFound` or `AreaFull`.
pub fn seat(
    slot: &SlotRow,
    floor: Option<&FloorState>,
    wanted: Option<&AreaKey>,
    party_size: i32,
    own_tables: &[String],
) -> Result<Seating, Refusal> {
    let Some(state) = floor else {
        return if wanted.is_some() { Err(Refusal::AreaNotFound) } else { Ok(Seating::without_area(slot)) };
    };
    let sitting = state.floor.sitting(slot.starts_at, slot.start_time, party_size);
    let place = state.place(wanted, &sitting, party_size, own_tables)?;
    Ok(Seating { ends_at: sitting.ends_at, place: Some((place, sitting.occupied_until)) })
}

/// When a party leaves that books a slot.
pub fn visit_end(slot: &SlotRow, floor: Option<&FloorState>, party_size: i32) -> DateTime<Utc> {
    floor.map_or(slot.ends_at, |state| state.floor.sitting(slot.starts_at, slot.start_time, party_size).ends_at)
}

impl Seating {
    pub fn without_area(slot: &SlotRow) -> Self {
        Self { ends_at: slot.ends_at, place: None }
    }

    /// Empty without an area.
    pub fn area_name(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |(place, _)| place.area.as_str().to_owned())
    }

    pub fn occupied_until(&self) -> Option<DateTime<Utc>> {
        self.place.as_ref().map(|(_, until)| *until)
    }

    /// Empty without tables.
    pub fn tables(&self) -> Vec<String> {
        self.place.as_ref().map_or_else(Vec::new, |(place, _)| place.tables.clone())
    }
}

/// The state of a slot. Only an open slot can be booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SlotState {
    Open,
    /// Closed by the venue, also when the schedule has the slot.
    Closed,
    /// Not in the weekly schedule.
    Unscheduled,
}

impl SlotRow {
    pub fn key(&self) -> SlotKey {
        SlotKey { venue_id: self.venue_id, date: self.slot_date, start_time: self.start_time }
    }

    pub fn open_seats(&self) -> i32 {
        self.capacity - self.reserved
    }

    pub fn facts(&self) -> SlotFacts {
        let (is_open, open_seats) = (self.state == SlotState::Open, self.open_seats());
        SlotFacts { starts_at: self.starts_at, is_open, open_seats }
    }
}

/// [`crate::domain::SlotRulesNow::refusal`] of a slot and a venue whose rows were read.
pub fn slot_refusal(
    venue: &VenuePolicy,
    slot: Option<&SlotRow>,
    date: NaiveDate,
    party_size: i32,
    moment: DateTime<Utc>,
) -> Option<Refusal> {
    let rules = venue.slot_rules().at(moment, venue.date_at(moment));
    rules.refusal(slot.map(SlotRow::facts), date, party_size)
}
