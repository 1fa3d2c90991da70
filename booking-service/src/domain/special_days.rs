//! Dates on which a venue deviates from its weekly schedule. Pure.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use super::{PlannedSlot, SchedulePeriod, SpecialDaysId, TimeZone};

/// The most special days of a venue.
pub const SPECIAL_DAYS_MAX: usize = 500;
/// Special days that ended longer ago are forgotten when others are set.
const KEPT_DAYS: u64 = 400;

/// A date or a range of dates on which a venue deviates from its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialDays {
    pub id: SpecialDaysId,
    pub first_date: NaiveDate,
    pub last_date: NaiveDate,
    /// Only slots that start at this time or later.
    pub from_time: Option<NaiveTime>,
    /// Only slots that start before this time.
    pub until_time: Option<NaiveTime>,
    pub deviation: Deviation,
    pub reason: String,
    pub set_at: DateTime<Utc>,
}

/// How the slots of special days differ from those of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deviation {
    Closed,
    /// These slots instead.
    Hours(Vec<SchedulePeriod>),
    /// The same slots with other values.
    Values {
        capacity: Option<i32>,
        price_per_person_cents: Option<i64>,
    },
}

/// The venue has too many special days.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the venue would have more than {SPECIAL_DAYS_MAX} special days")]
pub struct TooManySpecialDays;

impl SpecialDays {
    pub fn covers(&self, date: NaiveDate) -> bool {
        (self.first_date..=self.last_date).contains(&date)
    }

    /// Whether they concern a slot that starts at this time.
    pub fn includes(&self, start_time: NaiveTime) -> bool {
        self.from_time.is_none_or(|from| from <= start_time) && self.until_time.is_none_or(|until| start_time < until)
    }

    /// Changes the planned slots of a date. A slot that the special hours do not have is planned as closed, like the
    /// slots of a closed date, so that a booking is refused with SLOT_CLOSED whether or not the slot was laid out
    /// before.
    pub fn apply(&self, zone: TimeZone, date: NaiveDate, slots: &mut Vec<PlannedSlot>) {
        if !self.covers(date) {
            return;
        }
        let concerned = slots.iter_mut().filter(|slot| self.includes(slot.start_time));
        match &self.deviation {
            Deviation::Closed => concerned.for_each(|slot| slot.is_closed = true),
            Deviation::Values { capacity, price_per_person_cents } => concerned.for_each(|slot| {
                slot.capacity = capacity.unwrap_or(slot.capacity);
                slot.price_per_person_cents = price_per_person_cents.unwrap_or(slot.price_per_person_cents);
            }),
            Deviation::Hours(periods) => {
                concerned.for_each(|slot| slot.is_closed = true);
                let special = periods.iter().flat_map(|period| period.slots_on(zone, date));
                for special in special.filter(|slot| self.includes(slot.start_time)) {
                    slots.retain(|slot| slot.start_time != special.start_time);
                    slots.push(special);
                }
                slots.sort_by_key(|slot| slot.start_time);
            }
        }
    }

    /// Whether they say the same, whenever they were set.
    fn is_equal(&self, other: &Self) -> bool {
        *self == Self { set_at: self.set_at, ..other.clone() }
    }
}

/// Sets special days: those with the same id are replaced, and the new ones take precedence over all others. If they
/// are set already, nothing changes: a repeated call must not take precedence over what was set in between.
///
/// # Errors
/// [`TooManySpecialDays`].
pub fn set(all: &mut Vec<SpecialDays>, new: SpecialDays, today: NaiveDate) -> Result<(), TooManySpecialDays> {
    if all.iter().any(|special| special.is_equal(&new)) {
        return Ok(());
    }
    all.retain(|special| special.id != new.id && special.last_date + Days::new(KEPT_DAYS) >= today);
    if all.len() >= SPECIAL_DAYS_MAX {
        return Err(TooManySpecialDays);
    }
    all.push(new);
    Ok(())
}

/// Removes special days, and returns them if there were any.
pub fn delete(all: &mut Vec<SpecialDays>, id: SpecialDaysId) -> Option<SpecialDays> {
    let position = all.iter().position(|special| special.id == id)?;
    Some(all.remove(position))
}

#[cfg(test)]
mod tests;
