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
    WeeklySchedule { periods, ..WeeklySchedule::default() }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).expect("a zone")
}

#[test]
fn a_period_gives_slots_at_its_interval_on_its_weekdays_only() {
    let week = schedule(vec![period(&[2, 3, 4, 5, 6, 7], "11:00", "19:00")]);
    // 2026-12-07 is a Monday.
    let slots = week.lay_out(zone("Asia/Tokyo"), date("2026-12-07"), date("2026-12-13")).expect("fits");
    assert_eq!(slots.len(), 6 * 17);
    assert!(slots.iter().all(|slot| slot.date != date("2026-12-07")));
    assert_eq!(slots[0].starts_at.to_rfc3339(), "2026-12-08T02:00:00+00:00");
    assert_eq!((slots[16].start_time, slots[16].ends_at - slots[16].starts_at), (time("19:00"), TimeDelta::hours(2)));
}

#[test]
fn a_skipped_start_time_has_no_slot_and_a_repeated_start_time_has_one() {
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
        let repeated = starts(back);
        assert_eq!(repeated.len(), 5, "{name}");
        let instants: BTreeSet<_> = repeated.iter().map(|(_, at)| at).collect();
        assert_eq!(instants.len(), 5, "{name}");
    }
}

#[test]
fn the_instant_of_a_repeated_local_time_is_its_first_occurrence() {
    let at = instant(zone("Europe/Berlin"), date("2026-10-25").and_time(time("02:30"))).expect("exists");
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
    assert_eq!(slots.len(), 9, "including the slot of the closed date");
    assert!(slots.iter().all(|slot| slot.is_closed == (slot.date == date("2026-12-24"))));
    let last = slots.last().expect("not empty");
    assert_eq!((last.capacity, last.price_per_person_cents), (10, 9900));
}

#[test]
fn periods_clash_only_if_they_have_the_same_start_on_the_same_date() {
    let a = period(&[1, 2], "11:00", "13:00");
    assert!(a.clashes_with(&period(&[2], "13:00", "14:00")));
    assert!(!a.clashes_with(&period(&[3], "11:00", "13:00")), "other days");
    assert!(!a.clashes_with(&period(&[1], "11:15", "12:45")), "other starts");
    let summer = SchedulePeriod { valid_until: Some(date("2026-09-30")), ..a.clone() };
    let winter = SchedulePeriod { valid_from: Some(date("2026-10-01")), ..a };
    assert!(!summer.clashes_with(&winter) && !winter.clashes_with(&summer), "other seasons");
    // 2026-04-28 is a Tuesday and 2026-05-01 a Friday: no Monday lies between them.
    let mondays = period(&[1], "11:00", "13:00");
    let early = SchedulePeriod { valid_until: Some(date("2026-05-01")), ..mondays.clone() };
    let late = |from| SchedulePeriod { valid_from: Some(date(from)), ..mondays.clone() };
    assert!(!early.clashes_with(&late("2026-04-28")) && !late("2026-04-28").clashes_with(&early), "no common Monday");
    assert!(early.clashes_with(&late("2026-04-27")), "one common Monday");
}

#[test]
fn a_period_never_applies_if_its_dates_contain_none_of_its_weekdays() {
    // 2026-04-28 is a Tuesday and 2026-05-01 a Friday: no Monday lies between them.
    let between = |days: &[u8]| SchedulePeriod {
        valid_from: Some(date("2026-04-28")),
        valid_until: Some(date("2026-05-01")),
        ..period(days, "18:00", "18:00")
    };
    assert!(
        !between(&[1]).ever_applies()
            && between(&[1, 5]).ever_applies()
            && period(&[1], "18:00", "18:00").ever_applies()
    );
}

#[test]
fn a_schedule_with_more_than_50_000_slots_is_refused() {
    let every_minute = SchedulePeriod { interval_minutes: 5, ..period(&[1, 2, 3, 4, 5, 6, 7], "00:00", "23:55") };
    let (first, last) = (date("2026-01-01"), date("2027-12-31"));
    assert_eq!(schedule(vec![every_minute]).lay_out(zone("UTC"), first, last), Err(TooManySlots));
}

#[test]
fn when_the_clock_changes_by_half_an_hour_only_that_half_hour_is_skipped_or_repeated() {
    let lord_howe = zone("Australia/Lord_Howe");
    let night = schedule(vec![period(&[7], "01:00", "03:00")]);
    let on = |day: &str| night.lay_out(lord_howe, date(day), date(day)).expect("fits");
    let forward: Vec<_> = on("2026-10-04").iter().map(|slot| slot.start_time).collect();
    assert_eq!(forward, [time("01:00"), time("01:30"), time("02:30"), time("03:00")]);
    // 01:30 occurs twice, half an hour apart. The slot is at the first occurrence, so the next slot is an hour later.
    let back = on("2027-04-04");
    assert_eq!(back.len(), 5);
    assert_eq!(back[1].starts_at.to_rfc3339(), "2027-04-03T14:30:00+00:00");
    assert_eq!(back[2].starts_at - back[1].starts_at, TimeDelta::hours(1));
}

#[test]
fn a_slot_has_its_full_duration_also_when_the_clock_changes() {
    let night = schedule(vec![period(&[7], "00:30", "00:30")]);
    for (name, day) in [
        ("Europe/Berlin", "2027-03-28"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2027-03-14"),
        ("Australia/Lord_Howe", "2027-04-04"),
    ] {
        let slots = night.lay_out(zone(name), date(day), date(day)).expect("fits");
        assert_eq!(slots[0].ends_at - slots[0].starts_at, TimeDelta::minutes(120), "{name} {day}");
    }
}

#[test]
fn starts_follow_the_buffer_and_the_dates_of_a_period() {
    let autumn = SchedulePeriod {
        buffer_minutes: 15,
        valid_from: Some(date("2026-09-02")),
        valid_until: Some(date("2026-09-03")),
        ..period(&[1, 2, 3, 4, 5, 6, 7], "18:00", "20:00")
    };
    let slots = schedule(vec![autumn]).lay_out(zone("UTC"), date("2026-09-01"), date("2026-09-04")).expect("fits");
    let starts: Vec<_> = slots.iter().map(|slot| (slot.date, slot.start_time)).collect();
    let each_day = ["18:00", "18:45", "19:30"].map(time);
    let expected: Vec<_> =
        ["2026-09-02", "2026-09-03"].iter().flat_map(|day| each_day.map(|start| (date(day), start))).collect();
    assert_eq!(starts, expected);
}

#[test]
fn a_layout_in_parts_equals_the_layout_in_one_call() {
    let daily = schedule(vec![period(&[1, 2, 3, 4, 5, 6, 7], "18:00", "19:00")]);
    let (first, last) = (date("2026-12-01"), date("2026-12-10"));
    let whole = daily.lay_out(zone("UTC"), first, last).expect("fits");
    let (mut parts, mut from) = (Vec::new(), first);
    while from <= last {
        let (some, until) = daily.lay_out_some(zone("UTC"), from, last, 7);
        assert!(some.len() <= 9, "whole days, no more than needed");
        parts.extend(some);
        from = until + chrono::Days::new(1);
    }
    assert_eq!(parts, whole);
}
