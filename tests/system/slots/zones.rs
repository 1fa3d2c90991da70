//! Both clock changes of a year, in zones on both sides of the equator and with changes of different lengths, through
//! the service.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, MappedLocalTime, NaiveDate, NaiveTime, TimeZone as _, Utc};
use teppan_shared::{
    contract::booking::v1::{ListAvailabilityRequest, SchedulePeriod, SlotAvailability},
    time_zone::TimeZone,
};
use teppan_tests::{fixtures, harness::Booking};

use super::listed;

const NIGHT: [&str; 11] =
    ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30", "04:00", "04:30", "05:00"];

fn instant(slot: &SlotAvailability) -> DateTime<Utc> {
    let at = slot.starts_at.expect("a start");
    DateTime::from_timestamp(at.seconds, 0).expect("a time")
}

/// Lays out every half hour of every night of more than a year. Returns how many local starts do not exist, and how
/// many exist twice.
async fn check(zone: &str) -> (usize, usize) {
    let zone = TimeZone::parse(zone).expect("a zone");
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue = fixtures::venue_with(clients, 4, |venue| {
        zone.name().clone_into(&mut venue.time_zone);
        venue.horizon_days = Some(380);
    });
    let venue_id = venue.await.expect("a venue").venue_id;
    let mut nights = fixtures::every_evening(&venue_id, 4);
    nights.periods[0] = SchedulePeriod {
        first_start: NIGHT[0].to_owned(),
        last_start: NIGHT[10].to_owned(),
        ..nights.periods[0].clone()
    };
    let done = clients.schedule.set_weekly_schedule(nights).await.expect("set").into_inner();
    let first: NaiveDate = done.first_date.parse().expect("a date");
    let from_date = done.first_date.clone();
    let list = |from_date, to_date| ListAvailabilityRequest {
        venue_id: venue_id.clone(),
        from_date,
        to_date,
        ..Default::default()
    };
    let mut slots = listed(clients, list(from_date, (first + Days::new(300)).to_string())).await;
    slots.extend(listed(clients, list((first + Days::new(301)).to_string(), done.last_date)).await);
    slots.retain(|slot| slot.start_time != "18:00"); // of the schedule before

    let found: BTreeSet<_> = slots.iter().map(|slot| (slot.date.clone(), slot.start_time.clone())).collect();
    assert_eq!(found.len(), slots.len(), "no slot comes twice");
    let instants: BTreeSet<_> = slots.iter().map(instant).collect();
    assert_eq!(instants.len(), slots.len(), "no two slots are at the same instant");
    for slot in &slots {
        let local = instant(slot).with_timezone(&zone).naive_local();
        assert_eq!(local.format("%Y-%m-%d %H:%M").to_string(), format!("{} {}", slot.date, slot.start_time));
        let lasts = slot.ends_at.expect("an end").seconds - slot.starts_at.expect("a start").seconds;
        assert_eq!(lasts, 120 * 60, "two hours of elapsed time");
    }
    let (mut missing, mut double) = (0, 0);
    for date in first.iter_days().take(381) {
        for time in NIGHT {
            let local = date.and_time(time.parse::<NaiveTime>().expect("a time"));
            let key = (date.to_string(), time.to_owned());
            match zone.from_local_datetime(&local) {
                MappedLocalTime::None => {
                    assert!(!found.contains(&key), "{key:?} does not exist");
                    missing += 1;
                }
                MappedLocalTime::Single(_) => assert!(found.contains(&key), "{key:?}"),
                MappedLocalTime::Ambiguous(earlier, _) => {
                    assert!(instants.contains(&earlier.to_utc()), "{key:?} has a slot at its first occurrence");
                    double += 1;
                }
            }
        }
    }
    (missing, double)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_berlin_a_start_that_does_not_exist_gets_no_slot_and_one_that_exists_twice_gets_one() {
    assert_eq!(check("Europe/Berlin").await, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_new_york_a_start_that_does_not_exist_gets_no_slot_and_one_that_exists_twice_gets_one() {
    assert_eq!(check("America/New_York").await, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_lord_howe_island_with_changes_of_half_an_hour_each_start_gets_one_slot_or_none() {
    assert_eq!(check("Australia/Lord_Howe").await, (1, 1));
}
