//! A venue's weekly schedule, and the slots that follow from it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Timelike as _, Utc};
use serde::{Deserialize, Serialize};

use super::{SpecialDays, TimeZone, local_time::instant};

/// The most slots that one call may lay out.
pub const SLOTS_MAX: usize = 50_000;

/// A day of the week by ISO 8601: Monday is 1, Sunday is 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weekday(u8);

impl Weekday {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        match u8::try_from(raw) {
            Ok(day @ 1..=7) => Ok(Self(day)),
            _ => Err("must be a day of the week"),
        }
    }

    pub fn number(self) -> i32 {
        self.0.into()
    }
}

/// Slots on these weekdays, from the first start to the last, at equal distances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePeriod {
    pub days: BTreeSet<Weekday>,
    pub first_start: NaiveTime,
    pub last_start: NaiveTime,
    pub interval_minutes: u32,
    /// Added to the interval between two starts.
    pub buffer_minutes: u32,
    pub duration_minutes: u32,
    pub capacity: i32,
    pub price_per_person_cents: i64,
    pub valid_from: Option<NaiveDate>,
    pub valid_until: Option<NaiveDate>,
}

/// The exception for one date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleException {
    Closed,
    Special { capacity: Option<i32>, price_per_person_cents: Option<i64> },
}

/// A venue's schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WeeklySchedule {
    pub periods: Vec<SchedulePeriod>,
    pub exceptions: BTreeMap<NaiveDate, ScheduleException>,
    /// In the order in which they were set; later ones take precedence.
    pub special_days: Vec<SpecialDays>,
}

/// The schedule has more slots than one call may lay out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("gives more than {SLOTS_MAX} slots up to the venue's horizon: use longer intervals or a nearer horizon")]
pub struct TooManySlots;

/// A slot to be laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSlot {
    pub date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i32,
    pub price_per_person_cents: i64,
    /// Whether an exception or special days close it. The slot is laid out anyway, so that a booking is refused with
    /// SLOT_CLOSED whether the date was closed before or after the layout.
    pub is_closed: bool,
}

impl SchedulePeriod {
    /// Whether the period has slots on any date.
    pub fn ever_applies(&self) -> bool {
        // Seven days contain every weekday, so checking them is enough.
        let mut week = self.valid_from.unwrap_or(NaiveDate::MIN).iter_days().take(7);
        week.any(|date| self.applies_on(date))
    }

    /// The start times of one day.
    pub fn starts(&self) -> impl Iterator<Item = NaiveTime> {
        let minute = |time: NaiveTime| time.hour() * 60 + time.minute();
        let step = usize::try_from(self.interval_minutes + self.buffer_minutes).unwrap_or(usize::MAX).max(1);
        (minute(self.first_start)..=minute(self.last_start))
            .step_by(step)
            .filter_map(|minute| NaiveTime::from_hms_opt(minute / 60, minute % 60, 0))
    }

    /// The slots of one day, by start time; none if the period does not apply on it.
    pub fn slots_on(&self, zone: TimeZone, date: NaiveDate) -> Vec<PlannedSlot> {
        if !self.applies_on(date) {
            return Vec::new();
        }
        let slot = |start_time| {
            let starts_at = instant(zone, date.and_time(start_time))?;
            Some(PlannedSlot {
                date,
                start_time,
                starts_at,
                ends_at: starts_at + TimeDelta::minutes(self.duration_minutes.into()),
                capacity: self.capacity,
                price_per_person_cents: self.price_per_person_cents,
                is_closed: false,
            })
        };
        self.starts().filter_map(slot).collect()
    }

    /// Whether the period has slots on this date. Exceptions are not considered.
    pub fn applies_on(&self, date: NaiveDate) -> bool {
        self.days.contains(&Weekday(date.weekday().number_from_monday().try_into().unwrap_or(0)))
            && self.valid_from.is_none_or(|from| from <= date)
            && self.valid_until.is_none_or(|until| date <= until)
    }

    /// Whether both periods have a slot with the same start on the same date.
    pub fn clashes_with(&self, other: &Self) -> bool {
        let from = self.valid_from.max(other.valid_from).unwrap_or(NaiveDate::MIN);
        // Seven days contain every weekday, so checking them is enough.
        let mut week = from.iter_days().take(7);
        week.any(|date| self.applies_on(date) && other.applies_on(date)) && {
            let starts: BTreeSet<_> = self.starts().collect();
            other.starts().any(|start| starts.contains(&start))
        }
    }
}

impl WeeklySchedule {
    /// The slots from `first` to `last`, by date and start time. A slot's end is its start plus the duration in elapsed
    /// time, also when the clock changes in between.
    ///
    /// # Errors
    /// [`TooManySlots`].
    pub fn lay_out(&self, zone: TimeZone, first: NaiveDate, last: NaiveDate) -> Result<Vec<PlannedSlot>, TooManySlots> {
        let mut slots = Vec::new();
        for date in first.iter_days().take_while(|date| *date <= last) {
            slots.extend(self.slots_on(zone, date));
            if slots.len() > SLOTS_MAX {
                return Err(TooManySlots);
            }
        }
        Ok(slots)
    }

    /// The slots of whole days from `first` up to `last`, or up to the day on which their number reaches `enough`. Also
    /// returns the last of these days.
    pub fn lay_out_some(
        &self,
        zone: TimeZone,
        first: NaiveDate,
        last: NaiveDate,
        enough: usize,
    ) -> (Vec<PlannedSlot>, NaiveDate) {
        let mut slots = Vec::new();
        for date in first.iter_days().take_while(|date| *date <= last) {
            slots.extend(self.slots_on(zone, date));
            if slots.len() >= enough {
                return (slots, date);
            }
        }
        (slots, last)
    }

    /// The slots of one day, by start time.
    fn slots_on(&self, zone: TimeZone, date: NaiveDate) -> Vec<PlannedSlot> {
        let exception = self.exceptions.get(&date);
        let (capacity, price) = match exception {
            Some(ScheduleException::Special { capacity, price_per_person_cents }) => {
                (*capacity, *price_per_person_cents)
            }
            Some(ScheduleException::Closed) | None => (None, None),
        };
        let mut slots: Vec<_> = self.periods.iter().flat_map(|period| period.slots_on(zone, date)).collect();
        for slot in &mut slots {
            slot.capacity = capacity.unwrap_or(slot.capacity);
            slot.price_per_person_cents = price.unwrap_or(slot.price_per_person_cents);
            slot.is_closed = exception == Some(&ScheduleException::Closed);
        }
        slots.sort_by_key(|slot| slot.start_time);
        for special in &self.special_days {
            special.apply(zone, date, &mut slots);
        }
        slots
    }
}

#[cfg(test)]
mod tests;
