use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;

use crate::{
    domain::{Refusal, SlotFacts, SlotKey, VenueId},
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
