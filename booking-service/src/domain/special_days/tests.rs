use std::collections::BTreeMap;

use super::*;
use crate::domain::{ScheduleException, Weekday, WeeklySchedule};

fn time(raw: &str) -> NaiveTime {
    raw.parse().expect("a time")
}

fn date(raw: &str) -> NaiveDate {
    raw.parse().expect("a date")
}

fn period(first: &str, last: &str, capacity: i32) -> SchedulePeriod {
    SchedulePeriod {
        days: (1..=7).map(|day| Weekday::parse(day).expect("a day")).collect(),
        first_start: time(first),
        last_start: time(last),
        interval_minutes: 60,
        buffer_minutes: 0,
        duration_minutes: 120,
        capacity,
        price_per_person_cents: 3500,
        valid_from: None,
        valid_until: None,
    }
}

/// From 2026-12-24 to 2026-12-26.
fn special(deviation: Deviation) -> SpecialDays {
    SpecialDays {
        id: SpecialDaysId::generate(),
        first_date: date("2026-12-24"),
        last_date: date("2026-12-26"),
        from_time: None,
        until_time: None,
        deviation,
        reason: String::new(),
        set_at: DateTime::UNIX_EPOCH,
    }
}

fn values(capacity: Option<i32>, price_per_person_cents: Option<i64>) -> Deviation {
    Deviation::Values { capacity, price_per_person_cents }
}

/// Slots at 18:00, 19:00 and 20:00 on every day.
fn schedule(special_days: Vec<SpecialDays>) -> WeeklySchedule {
    WeeklySchedule { periods: vec![period("18:00", "20:00", 40)], special_days, ..WeeklySchedule::default() }
}

/// The start, seats and price of each planned slot of a date; no seats if it is closed.
fn planned(schedule: &WeeklySchedule, on: &str) -> Vec<(String, i32, i64)> {
    let zone = TimeZone::parse("Europe/Berlin").expect("a zone");
    let slots = schedule.lay_out(zone, date(on), date(on)).expect("fits");
    let seats = |slot: &PlannedSlot| if slot.is_closed { 0 } else { slot.capacity };
    slots
        .iter()
        .map(|slot| (slot.start_time.format("%H:%M").to_string(), seats(slot), slot.price_per_person_cents))
        .collect()
}

fn slots(all: &[(&str, i32, i64)]) -> Vec<(String, i32, i64)> {
    all.iter().map(|(start, seats, price)| ((*start).to_owned(), *seats, *price)).collect()
}

#[test]
fn special_days_change_the_dates_of_their_range_and_no_others() {
    let closed = schedule(vec![special(Deviation::Closed)]);
    let usual = slots(&[("18:00", 40, 3500), ("19:00", 40, 3500), ("20:00", 40, 3500)]);
    for (on, expected) in [("2026-12-23", 40), ("2026-12-24", 0), ("2026-12-26", 0), ("2026-12-27", 40)] {
        let expected: Vec<_> = usual.iter().map(|(start, _, price)| (start.clone(), expected, *price)).collect();
        assert_eq!(planned(&closed, on), expected, "{on}");
    }
}

#[test]
fn only_slots_that_start_between_the_given_times_are_changed() {
    let mut late = special(values(Some(10), Some(5000)));
    (late.from_time, late.until_time) = (Some(time("19:00")), Some(time("20:00")));
    let expected = slots(&[("18:00", 40, 3500), ("19:00", 10, 5000), ("20:00", 40, 3500)]);
    assert_eq!(planned(&schedule(vec![late]), "2026-12-25"), expected);
}

#[test]
fn special_hours_replace_the_slots_between_the_given_times_which_stay_as_closed_slots() {
    let mut hours = special(Deviation::Hours(vec![period("12:00", "13:00", 20), period("19:00", "19:00", 8)]));
    hours.until_time = Some(time("20:00"));
    let expected =
        slots(&[("12:00", 20, 3500), ("13:00", 20, 3500), ("18:00", 0, 3500), ("19:00", 8, 3500), ("20:00", 40, 3500)]);
    assert_eq!(planned(&schedule(vec![hours]), "2026-12-25"), expected);
}

#[test]
fn special_days_take_precedence_over_exceptions_and_those_set_last_over_those_before() {
    let mut closed = schedule(vec![special(Deviation::Hours(vec![period("12:00", "12:00", 20)]))]);
    closed.exceptions = BTreeMap::from([(date("2026-12-25"), ScheduleException::Closed)]);
    let opened = slots(&[("12:00", 20, 3500), ("18:00", 0, 3500), ("19:00", 0, 3500), ("20:00", 0, 3500)]);
    assert_eq!(planned(&closed, "2026-12-25"), opened);

    closed.special_days = vec![special(values(Some(5), None))];
    assert!(planned(&closed, "2026-12-25").iter().all(|(_, seats, _)| *seats == 0), "other seats open no closed date");

    let both = |all| planned(&schedule(all), "2026-12-25")[0].1;
    let (five, six) = (special(values(Some(5), None)), special(values(Some(6), None)));
    assert_eq!(both(vec![five.clone(), six.clone()]), 6);
    assert_eq!(both(vec![six, five]), 5);
}

#[test]
fn setting_special_days_again_replaces_them_and_a_repeated_call_changes_nothing() {
    let today = date("2026-12-01");
    let (first, second) = (special(values(Some(5), None)), special(values(Some(6), None)));
    let mut all = Vec::new();
    for new in [&first, &second] {
        set(&mut all, new.clone(), today).expect("set");
    }
    let later = SpecialDays { set_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1), ..first.clone() };
    set(&mut all, later, today).expect("set");
    assert_eq!(all, [first.clone(), second.clone()], "it would take precedence over the second");
    let changed = SpecialDays { deviation: Deviation::Closed, ..first };
    set(&mut all, changed.clone(), today).expect("set");
    assert_eq!(all, [second.clone(), changed.clone()]);
    assert_eq!((delete(&mut all, second.id), delete(&mut all, second.id)), (Some(second), None));
    assert_eq!(all, [changed]);
}

#[test]
fn a_venue_has_a_bounded_number_of_special_days_and_forgets_old_ones() {
    let today = date("2026-12-01");
    let mut all: Vec<_> = (0..SPECIAL_DAYS_MAX).map(|_| special(Deviation::Closed)).collect();
    let another = special(Deviation::Closed);
    assert_eq!(set(&mut all, another.clone(), today), Err(TooManySpecialDays));
    (all[7].first_date, all[7].last_date) = (date("2025-01-01"), date("2025-01-02"));
    assert_eq!(set(&mut all, another, today), Ok(()));
    assert_eq!(all.len(), SPECIAL_DAYS_MAX);
}
