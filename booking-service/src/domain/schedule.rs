//! A venue's weekly schedule, and the slots it gives.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{
    DateTime, Datelike as _, Days, MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc,
};
use serde::{Deserialize, Serialize};

use super::VenueTimeZone;

/// The most slots one schedule may lay out.
pub const SLOTS_MAX: usize = 50_000;

/// A day of the week, as ISO 8601 counts them: Monday is 1.
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

/// On these days, slots from the first start to the last at equal distances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePeriod {
    pub days: BTreeSet<Weekday>,
    pub first_start: NaiveTime,
    pub last_start: NaiveTime,
    pub interval_minutes: u32,
    /// Added to the interval.
    pub buffer_minutes: u32,
    pub duration_minutes: u32,
    pub capacity: i32,
    pub price_per_person_cents: i64,
    pub valid_from: Option<NaiveDate>,
    pub valid_until: Option<NaiveDate>,
}

/// What is different on one date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleException {
    Closed,
    Special { capacity: Option<i32>, price_per_person_cents: Option<i64> },
}

/// A whole schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WeeklySchedule {
    pub periods: Vec<SchedulePeriod>,
    pub exceptions: BTreeMap<NaiveDate, ScheduleException>,
}

/// The schedule gives more slots than one call lays out.
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
}

impl SchedulePeriod {
    /// The start times of a day.
    fn starts(&self) -> impl Iterator<Item = NaiveTime> {
        let minute = |time: NaiveTime| time.hour() * 60 + time.minute();
        let step = usize::try_from(self.interval_minutes + self.buffer_minutes).unwrap_or(usize::MAX).max(1);
        (minute(self.first_start)..=minute(self.last_start))
            .step_by(step)
            .filter_map(|minute| NaiveTime::from_hms_opt(minute / 60, minute % 60, 0))
    }

    fn applies_on(&self, date: NaiveDate) -> bool {
        self.days.contains(&Weekday(date.weekday().number_from_monday().try_into().unwrap_or(0)))
            && self.valid_from.is_none_or(|from| from <= date)
            && self.valid_until.is_none_or(|until| date <= until)
    }

    /// Whether both give a slot at the same start on a date that both apply on.
    pub fn clashes_with(&self, other: &Self) -> bool {
        let starts_before_other_ends = |a: &Self, b: &Self| match (a.valid_from, b.valid_until) {
            (Some(from), Some(until)) => from <= until,
            _ => true,
        };
        !self.days.is_disjoint(&other.days)
            && starts_before_other_ends(self, other)
            && starts_before_other_ends(other, self)
            && {
                let starts: BTreeSet<_> = self.starts().collect();
                other.starts().any(|start| starts.contains(&start))
            }
    }
}

impl WeeklySchedule {
    /// The slots from `first` to `last`, by date and start time. A slot's end is its start plus the
    /// duration in elapsed time, also across a change of the clock.
    ///
    /// # Errors
    /// [`TooManySlots`].
    pub fn lay_out(
        &self,
        zone: VenueTimeZone,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<Vec<PlannedSlot>, TooManySlots> {
        let mut slots = Vec::new();
        for date in first.iter_days().take_while(|date| *date <= last) {
            let (capacity, price) = match self.exceptions.get(&date) {
                Some(ScheduleException::Closed) => continue,
                Some(ScheduleException::Special { capacity, price_per_person_cents }) => {
                    (*capacity, *price_per_person_cents)
                }
                None => (None, None),
            };
            for period in self.periods.iter().filter(|period| period.applies_on(date)) {
                for start_time in period.starts() {
                    let Some(starts_at) = instant(zone, date, start_time) else { continue };
                    slots.push(PlannedSlot {
                        date,
                        start_time,
                        starts_at,
                        ends_at: starts_at + TimeDelta::minutes(period.duration_minutes.into()),
                        capacity: capacity.unwrap_or(period.capacity),
                        price_per_person_cents: price.unwrap_or(period.price_per_person_cents),
                    });
                }
            }
            if slots.len() > SLOTS_MAX {
                return Err(TooManySlots);
            }
        }
        slots.sort_by_key(|slot| (slot.date, slot.start_time));
        Ok(slots)
    }
}

/// When a local time is. A time that exists twice, when the clock is set back, is the first of the
/// two; one that does not exist, when it is set forward, is none.
fn instant(zone: VenueTimeZone, date: NaiveDate, time: NaiveTime) -> Option<DateTime<Utc>> {
    match zone.tz().from_local_datetime(&date.and_time(time)) {
        MappedLocalTime::Single(local) | MappedLocalTime::Ambiguous(local, _) => Some(local.to_utc()),
        MappedLocalTime::None => None,
    }
}

/// The dates a schedule is laid out for: from today at the venue up to its horizon.
pub fn layout_range(zone: VenueTimeZone, horizon_days: i32, now: DateTime<Utc>) -> (NaiveDate, NaiveDate) {
    let today = now.with_timezone(&zone.tz()).date_naive();
    (today, today + Days::new(horizon_days.unsigned_abs().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(raw: &str) -> NaiveTime {
        raw.parse().expect("a time")
    }

    fn date(raw: &str) -> NaiveDate {
        raw.parse().expect("a date")
    }

    fn period(days: &[u8], first: &str, last: &str) -> SchedulePeriod {
        SchedulePeriod {
            days: days.iter().map(|day| Weekday(*day)).collect(),
            first_start: time(first),
            last_start: time(last),
            interval_minutes: 30,
            buffer_minutes: 0,
            duration_minutes: 120,
            capacity: 40,
            price_per_person_cents: 3500,
            valid_from: None,
            valid_until: None,
        }
    }

    fn schedule(periods: Vec<SchedulePeriod>) -> WeeklySchedule {
        WeeklySchedule { periods, exceptions: BTreeMap::new() }
    }

    fn zone(name: &str) -> VenueTimeZone {
        VenueTimeZone::parse(name).expect("a zone")
    }

    #[test]
    fn seventeen_half_hours_a_day_and_none_on_mondays() {
        let week = schedule(vec![period(&[2, 3, 4, 5, 6, 7], "11:00", "19:00")]);
        // 2026-12-07 is a Monday.
        let slots = week.lay_out(zone("Asia/Tokyo"), date("2026-12-07"), date("2026-12-13")).expect("fits");
        assert_eq!(slots.len(), 6 * 17);
        assert!(slots.iter().all(|slot| slot.date != date("2026-12-07")));
        assert_eq!(slots[0].starts_at.to_rfc3339(), "2026-12-08T02:00:00+00:00");
        assert_eq!(
            (slots[16].start_time, slots[16].ends_at - slots[16].starts_at),
            (time("19:00"), TimeDelta::hours(2))
        );
    }

    #[test]
    fn a_start_that_does_not_exist_gets_no_slot_and_one_that_exists_twice_gets_one() {
        let night = schedule(vec![period(&[7], "01:00", "03:00")]);
        for (name, forward, back) in [
            ("Europe/Berlin", "2027-03-28", "2026-10-25"),
            ("America/New_York", "2027-03-14", "2026-11-01"),
            ("Australia/Sydney", "2026-10-04", "2027-04-04"),
        ] {
            let starts = |day: &str| {
                night
                    .lay_out(zone(name), date(day), date(day))
                    .expect("fits")
                    .iter()
                    .map(|s| (s.start_time, s.starts_at))
                    .collect::<Vec<_>>()
            };
            let times = starts(forward).iter().map(|(time, _)| *time).collect::<Vec<_>>();
            assert_eq!(times, [time("01:00"), time("01:30"), time("03:00")], "{name}");
            let twice = starts(back);
            assert_eq!(twice.len(), 5, "{name}");
            let instants: BTreeSet<_> = twice.iter().map(|(_, at)| at).collect();
            assert_eq!(instants.len(), 5, "{name}");
        }
    }

    #[test]
    fn a_time_that_exists_twice_is_the_first_of_the_two() {
        let at = instant(zone("Europe/Berlin"), date("2026-10-25"), time("02:30")).expect("exists");
        assert_eq!(at.to_rfc3339(), "2026-10-25T00:30:00+00:00");
    }

    #[test]
    fn exceptions_close_a_date_or_change_its_seats_and_price() {
        let mut week = schedule(vec![period(&[1, 2, 3, 4, 5, 6, 7], "18:00", "18:00")]);
        week.exceptions.insert(date("2026-12-24"), ScheduleException::Closed);
        week.exceptions.insert(
            date("2026-12-31"),
            ScheduleException::Special { capacity: Some(10), price_per_person_cents: Some(9900) },
        );
        let slots = week.lay_out(zone("Europe/Berlin"), date("2026-12-23"), date("2026-12-31")).expect("fits");
        assert_eq!(slots.len(), 8);
        assert!(slots.iter().all(|slot| slot.date != date("2026-12-24")));
        let last = slots.last().expect("not empty");
        assert_eq!((last.capacity, last.price_per_person_cents), (10, 9900));
    }

    #[test]
    fn periods_clash_only_where_both_give_the_same_start() {
        let a = period(&[1, 2], "11:00", "13:00");
        assert!(a.clashes_with(&period(&[2], "13:00", "14:00")));
        assert!(!a.clashes_with(&period(&[3], "11:00", "13:00")), "other days");
        assert!(!a.clashes_with(&period(&[1], "11:15", "12:45")), "other starts");
        let summer = SchedulePeriod { valid_until: Some(date("2026-09-30")), ..a.clone() };
        let winter = SchedulePeriod { valid_from: Some(date("2026-10-01")), ..a };
        assert!(!summer.clashes_with(&winter) && !winter.clashes_with(&summer), "other seasons");
    }

    #[test]
    fn a_schedule_without_end_is_refused() {
        let every_minute = SchedulePeriod { interval_minutes: 5, ..period(&[1, 2, 3, 4, 5, 6, 7], "00:00", "23:55") };
        let (first, last) = (date("2026-01-01"), date("2027-12-31"));
        assert_eq!(schedule(vec![every_minute]).lay_out(zone("UTC"), first, last), Err(TooManySlots));
    }
}
