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

/// Why a party cannot book a slot at a moment; `None` if it can. The SQL function `slot_refusal`, which CreateBooking's
/// statement and lists use, has the same rule; a test compares the two. The contract defines the order of the reasons.
pub fn slot_refusal(
    venue: &VenuePolicy,
    slot: Option<&SlotRow>,
    date: NaiveDate,
    party_size: i32,
    moment: DateTime<Utc>,
) -> Option<Refusal> {
    let too_far = (date > venue.horizon(moment)).then_some(Refusal::TooFarAhead { horizon_days: venue.horizon_days });
    let Some(slot) = slot else {
        // No slot is laid out beyond the horizon, so `TooFarAhead` is more precise than `SlotNotFound`.
        return too_far.or(Some(Refusal::SlotNotFound));
    };
    if party_size < venue.min_party_size {
        return Some(Refusal::PartyTooSmall { min_party_size: venue.min_party_size });
    }
    if party_size > venue.max_party_size {
        return Some(Refusal::PartyTooLarge { max_party_size: venue.max_party_size });
    }
    if too_far.is_some() {
        return too_far;
    }
    if slot.starts_at < moment + TimeDelta::minutes(venue.notice_minutes.into()) {
        return Some(Refusal::InsufficientNotice { notice_minutes: venue.notice_minutes });
    }
    if slot.state != SlotState::Open {
        return Some(Refusal::SlotClosed);
    }
    (party_size > slot.open_seats()).then_some(Refusal::SlotFull { open_seats: slot.open_seats() })
}
