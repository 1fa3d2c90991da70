use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::{
    domain::{Refusal, SlotKey, VenueId},
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
}

/// What decides whether a party can book a slot: of the slot.
#[derive(Debug, Clone, Copy)]
pub struct SlotFacts {
    pub starts_at: DateTime<Utc>,
    pub is_open: bool,
    pub open_seats: i32,
}

impl SlotRow {
    pub fn facts(&self) -> SlotFacts {
        let (is_open, open_seats) = (self.state == SlotState::Open, self.open_seats());
        SlotFacts { starts_at: self.starts_at, is_open, open_seats }
    }
}

/// What decides whether a party can book a slot: of the venue.
#[derive(Debug, Clone, Copy)]
pub struct SlotRules {
    pub min_party_size: i32,
    pub max_party_size: i32,
    pub notice_minutes: i32,
    pub horizon_days: i32,
}

impl SlotRules {
    /// The rules at a moment, which is on this date at the venue.
    pub fn at(self, moment: DateTime<Utc>, today: NaiveDate) -> SlotRulesNow {
        SlotRulesNow {
            rules: self,
            last_date: today + TimeDelta::days(self.horizon_days.into()),
            earliest: moment + TimeDelta::minutes(self.notice_minutes.into()),
        }
    }
}

/// [`SlotRules`] at a moment.
pub struct SlotRulesNow {
    rules: SlotRules,
    /// The last date that can be booked.
    pub last_date: NaiveDate,
    /// The earliest start that can be booked.
    earliest: DateTime<Utc>,
}

impl SlotRulesNow {
    /// Why a party cannot book a slot; `None` if it can. The SQL function `slot_refusal`, which CreateBooking's statement
    /// uses, has the same rule; a test compares the two. The contract defines the order of the reasons.
    pub fn refusal(&self, slot: Option<SlotFacts>, date: NaiveDate, party_size: i32) -> Option<Refusal> {
        let SlotRules { min_party_size, max_party_size, notice_minutes, horizon_days } = self.rules;
        let too_far = (date > self.last_date).then_some(Refusal::TooFarAhead { horizon_days });
        let Some(slot) = slot else {
            // No slot is laid out beyond the horizon, so `TooFarAhead` is more precise than `SlotNotFound`.
            return too_far.or(Some(Refusal::SlotNotFound));
        };
        if party_size < min_party_size {
            return Some(Refusal::PartyTooSmall { min_party_size });
        }
        if party_size > max_party_size {
            return Some(Refusal::PartyTooLarge { max_party_size });
        }
        if too_far.is_some() {
            return too_far;
        }
        if slot.starts_at < self.earliest {
            return Some(Refusal::InsufficientNotice { notice_minutes });
        }
        if !slot.is_open {
            return Some(Refusal::SlotClosed);
        }
        (party_size > slot.open_seats).then_some(Refusal::SlotFull { open_seats: slot.open_seats })
    }
}

/// [`SlotRulesNow::refusal`] of a slot and a venue whose rows were read.
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
