//! Why a party cannot book a slot. Pure.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Refusal;

/// What decides whether a party can book a slot: of the slot.
#[derive(Debug, Clone, Copy)]
pub struct SlotFacts {
    pub starts_at: DateTime<Utc>,
    pub is_open: bool,
    pub open_seats: i32,
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
#[derive(Debug)]
pub struct SlotRulesNow {
    rules: SlotRules,
    /// The last date that can be booked.
    pub last_date: NaiveDate,
    /// The earliest start that can be booked.
    earliest: DateTime<Utc>,
}

impl SlotRulesNow {
    /// Why a party cannot book a slot; `None` if it can. The contract defines the order of the reasons. The SQL function
    /// `slot_refusal` has the same rule, for statements that decide with it; a test compares the two.
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
