use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn key(area: &str) -> AreaKey {
    AreaKey::parse(area).expect("an area")
}

fn rule(max_party_size: Option<i32>, from_time: Option<&str>, until_time: Option<&str>, minutes: i32) -> SittingRule {
    let time = |raw: &str| raw.parse::<NaiveTime>().expect("a time");
    SittingRule { max_party_size, from_time: from_time.map(time), until_time: until_time.map(time), minutes }
}

/// A floor with these seats in the areas a, b and so on, where nobody sits yet on three days.
fn floor(seats: &[Option<i32>], tick_minutes: i32) -> FloorState {
    let areas: Vec<_> = seats
        .iter()
        .zip(["a", "b", "c", "d"])
        .map(|(seats, area)| Area { area: key(area), name: area.to_owned(), seats: *seats })
        .collect();
    let free = vec![0; usize::try_from(1440 / tick_minutes).expect("ticks")];
    let day = |area: &Area, day| AreaDay {
        area: area.area.clone(),
        day,
        seats: area.seats.unwrap_or(32_767),
        taken: free.clone(),
    };
    let days = areas.iter().flat_map(|area| (0..3).map(move |n| (area, n))).map(|(area, n)| day(area, n)).collect();
    let floor = Floor { tick_minutes, turn_minutes: 0, sittings: vec![rule(None, None, None, 120)], areas };
    FloorState { floor, counts_from: at(0), days }
}

#[test]
fn the_first_rule_that_fits_says_how_long_a_party_stays() {
    let sittings = vec![
        rule(Some(2), Some("17:00"), Some("21:00"), 90),
        rule(Some(4), None, None, 105),
        rule(None, None, None, 150),
    ];
    let floor = Floor { tick_minutes: 15, turn_minutes: 20, sittings, areas: Vec::new() };
    let stays = |time: &str, size| {
        let sitting = floor.sitting(at(0), time.parse().expect("a time"), size);
        assert_eq!(sitting.occupied_until, sitting.ends_at + TimeDelta::minutes(20));
        (sitting.ends_at - at(0)).num_minutes()
    };
    assert_eq!([stays("17:00", 2), stays("20:59", 1), stays("21:00", 2)], [90, 90, 105]);
    assert_eq!([stays("16:59", 2), stays("18:00", 4), stays("18:00", 5)], [105, 105, 150]);
}

#[test]
fn a_tick_that_a_sitting_only_touches_is_taken() {
    let state = floor(&[Some(4)], 15).after(None, at(10), at(31), 3);
    let open = |since, until| state.open_seats(&state.floor.areas[0], at(since), at(until));
    assert_eq!([open(0, 15), open(30, 45), open(45, 60), open(0, 60)], [1, 1, 4, 1]);
}

#[test]
fn an_area_is_written_as_its_key() {
    for bad in ["", "-a", "A", "a b", "ä", &"a".repeat(41)] {
        assert!(AreaKey::parse(bad).is_err(), "{bad}");
    }
    assert!(AreaKey::parse(&"a".repeat(40)).is_ok() && AreaKey::parse("1-bar").is_ok());
}

#[test]
fn a_floor_is_read_back_from_the_json_that_is_stored() {
    let floor = Floor { sittings: vec![rule(Some(2), Some("17:00"), None, 90)], ..floor(&[None, Some(3)], 30).floor };
    let stored = serde_json::to_value(&floor).expect("JSON");
    assert_eq!(serde_json::from_value::<Floor>(stored).expect("a floor"), floor);
}

proptest! {
    /// Parties are placed one after the other; compared with a count of each minute.
    #[test]
    fn no_tick_of_an_area_has_more_guests_than_seats(
        parties in prop::collection::vec((0..4000_i64, 5..300_i64, 1..9_i32, 0..4_usize), 1..60),
        tick in prop::sample::select(vec![5, 15, 60]),
    ) {
        let seats = [Some(4), Some(10), None];
        let mut state = floor(&seats, tick);
        let mut guests = vec![vec![0; 4320]; seats.len()];
        for (start, minutes, size, wanted) in parties {
            let (since, until) = (at(start), at(start + minutes));
            let sitting = Sitting { starts_at: since, ends_at: until, occupied_until: until };
            let wanted = state.floor.areas.get(wanted).map(|area| area.area.clone());
            let first_tick = usize::try_from(start).expect("a minute") / usize::try_from(tick).expect("a tick");
            let tick_minutes = usize::try_from(tick).expect("a tick");
            let last = usize::try_from(start + minutes).expect("a minute").div_ceil(tick_minutes) * tick_minutes;
            let touched = first_tick * tick_minutes..last.min(4320);
            let fits = |n: usize| {
                let is_wanted = wanted.as_ref().is_none_or(|wanted| *wanted == state.floor.areas[n].area);
                let most = guests[n][touched.clone()].iter().max().copied().unwrap_or(0);
                is_wanted && seats[n].is_none_or(|seats| most + size <= seats)
            };
            let expected = (0..seats.len()).find(|n| fits(*n));
            let placed = state.place(wanted.as_ref(), &sitting, size);
            prop_assert_eq!(placed.as_ref().ok().map(AreaKey::as_str), expected.map(|n| ["a", "b", "c"][n]));
            if let (Ok(area), Some(n)) = (placed, expected) {
                state = state.after(Some(area.as_str()), since, until, size);
                guests[n][touched].iter_mut().for_each(|count| *count += size);
            }
        }
    }
}
