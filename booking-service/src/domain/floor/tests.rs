use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{super::table::TableKey, *};

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
        .map(|(seats, area)| Area::new(key(area), area.to_owned(), *seats, Vec::new(), Vec::new()))
        .collect();
    let free = vec![0; usize::try_from(1440 / tick_minutes).expect("ticks")];
    let day = |area: &Area, day| AreaDay {
        area: area.area.clone(),
        day,
        seats: area.seats.unwrap_or(32_767),
        taken: free.clone(),
        tables: None,
    };
    let days = areas.iter().flat_map(|area| (0..3).map(move |n| (area, n))).map(|(area, n)| day(area, n)).collect();
    let floor = Floor { tick_minutes, turn_minutes: 0, sittings: vec![rule(None, None, None, 120)], areas };
    FloorState { floor, counts_from: at(0), days }
}

fn occupancy(area: Option<&AreaKey>, tables: &[String], since: DateTime<Utc>, until: DateTime<Utc>) -> Occupancy {
    Occupancy { area: area.map(|area| area.as_str().to_owned()), tables: tables.to_vec(), since, until }
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
    let state = floor(&[Some(4)], 15).after(&occupancy(None, &[], at(10), at(31)), 3);
    let open = |since, until| state.open_seats(&state.floor.areas[0], at(since), at(until), 1);
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
            let placed = state.place(wanted.as_ref(), &sitting, size, &[]);
            prop_assert_eq!(placed.as_ref().ok().map(|place| place.area.as_str()), expected.map(|n| ["a", "b", "c"][n]));
            if let (Ok(place), Some(n)) = (placed, expected) {
                state = state.after(&occupancy(Some(&place.area), &[], since, until), size);
                guests[n][touched].iter_mut().for_each(|count| *count += size);
            }
        }
    }

    /// Parties come, change tables or leave on random floors; compared with the visits themselves.
    #[test]
    fn no_two_parties_have_one_table_at_once_and_a_party_is_refused_only_if_no_set_is_free(
        sizes in prop::collection::vec((1..4_i32, 0..6_i32), 1..12),
        joins in prop::collection::vec(prop::collection::btree_set(0..12_usize, 2..4), 0..6),
        parties in prop::collection::vec((0..40_i64, 1..12_i64, 1..12_i32, any::<bool>()), 1..80),
    ) {
        let named = |n: usize| TableKey::parse(&format!("T{n}")).expect("a table");
        let tables: Vec<_> = sizes.iter().enumerate().map(|(n, (min, more))| Table {
            table: named(n), min_party_size: *min, max_party_size: min + more,
        }).collect();
        let joins = joins.iter().filter(|join| join.iter().all(|n| *n < tables.len())).map(|join| Combination {
            tables: join.iter().map(|n| named(*n)).collect(), min_party_size: 4, max_party_size: 10,
        }).collect();
        let mut state = floor(&[Some(60)], 15);
        state.floor.areas[0] = Area::new(key("a"), "a".to_owned(), Some(60), tables, joins);
        state.days.iter_mut().for_each(|day| day.tables = Some(vec![0; day.taken.len()]));
        let sets = state.floor.areas[0].table_sets.clone();
        let mut visits: Vec<(Occupancy, i32)> = Vec::new();
        for (start, ticks, size, leaves) in parties {
            let (since, until) = (at(start * 15), at((start + ticks) * 15));
            let overlaps = |other: &Occupancy| other.since < until && since < other.until;
            let has = |other: &Occupancy, set: &TableSet| bits(&state.floor.areas[0].tables, &other.tables) & set.tables != 0;
            let is_free = |set: &&TableSet| !visits.iter().any(|(other, _)| overlaps(other) && has(other, set));
            let expected = sets.iter().filter(is_free).find(|set| set.fits(size));
            let most = (start..start + ticks).map(|tick| {
                let at_table = |it: &&(Occupancy, i32)| it.0.since <= at(tick * 15) && at(tick * 15) < it.0.until;
                visits.iter().filter(at_table).map(|(_, size)| size).sum::<i32>()
            }).max().unwrap_or(0);
            let expected = expected.filter(|_| most + size <= 60).map(|set| keys(&state.floor.areas[0].tables, set.tables));
            let placed = state.place(None, &Sitting { starts_at: since, ends_at: until, occupied_until: until }, size, &[]);
            prop_assert_eq!(placed.as_ref().ok().map(|place| &place.tables), expected.as_ref());
            match placed {
                Ok(place) => {
                    let visit = occupancy(Some(&place.area), &place.tables, since, until);
                    prop_assert!(state.has_room(&visit, size));
                    state = state.after(&visit, size);
                    prop_assert!(!state.has_room(&visit, 1));
                    visits.push((visit, size));
                }
                Err(Refusal::AreaFull { open_seats }) => prop_assert!((0..size).contains(&open_seats)),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
            if leaves && !visits.is_empty() {
                let (visit, size) = visits.remove(0);
                state = state.after(&visit, -size);
            }
        }
        for (visit, size) in visits {
            state = state.after(&visit, -size);
        }
        let is_empty = |day: &AreaDay| day.taken.iter().all(|it| *it == 0) && day.tables.iter().flatten().all(|it| *it == 0);
        prop_assert!(state.days.iter().all(is_empty));
    }
}
