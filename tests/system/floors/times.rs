use teppan_shared::contract::booking::v1::{
    Area, BatchCheckAvailabilityRequest, Floor, ListAvailabilityRequest, SittingRule, SlotQuery, UnavailableReason,
};
use teppan_tests::{fixtures, harness::Booking};
use tonic::Code;

use super::{area, assert_sound, floor, full, listed_as_checked, request, set, venue};
use crate::suggestions::alternatives;

#[tokio::test(flavor = "multi_thread")]
async fn forty_seats_are_not_sold_four_times_over_an_evening() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("main", 40)], 120)).await.expect("a floor");

    let first = clients.bookings.create_booking(request(&venue_id, "18:00", 40, "")).await.expect("booked");
    let first = first.into_inner().booking.expect("a booking");
    assert_eq!((first.area.as_str(), &first.occupied_until), ("main", &first.ends_at));
    for start in ["18:30", "19:00", "19:30"] {
        let refused = clients.bookings.create_booking(request(&venue_id, start, 40, "")).await.expect_err("full");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(full(&refused), ("SLOT_FULL".to_owned(), "0".to_owned(), "area".to_owned()), "{start}");
        let found = alternatives(&refused).expect("alternatives");
        let starts: Vec<_> = found.iter().map(|it| (it.start_time.as_str(), it.area.as_str())).collect();
        assert_eq!(starts, [("20:00", "main"), ("20:30", "main"), ("21:00", "main")]);
    }
    // The guests of 18:00 have left.
    clients.bookings.create_booking(request(&venue_id, "20:00", 40, "")).await.expect("booked");

    let day = fixtures::date().to_string();
    let list = ListAvailabilityRequest {
        venue_id: venue_id.clone(),
        from_date: day.clone(),
        to_date: day.clone(),
        party_size: 1,
        ..Default::default()
    };
    let slots = clients.schedule.list_availability(list.clone()).await.expect("listed").into_inner().slots;
    assert_eq!(slots.len(), 8);
    for slot in &slots {
        assert_eq!(slot.unavailable_reason(), UnavailableReason::SlotFull, "{}", slot.start_time);
        assert_eq!(slot.areas[0].open_seats, 0);
    }
    let bookable = ListAvailabilityRequest { bookable_only: true, ..list };
    let slots = clients.schedule.list_availability(bookable).await.expect("listed").into_inner().slots;
    assert!(slots.is_empty());
    let query = SlotQuery { venue_id, date: day, start_time: "18:30".to_owned(), party_size: 1 };
    let checked = clients.schedule.batch_check_availability(BatchCheckAvailabilityRequest { queries: vec![query] });
    let checked = checked.await.expect("checked").into_inner().checks.remove(0).availability.expect("a slot");
    assert_eq!((checked.open_seats, checked.unavailable_reason()), (40, UnavailableReason::SlotFull));
    assert_sound(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_gets_the_first_area_with_the_seats_or_the_one_that_it_wants() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    let areas = vec![area("terrace", 4), area("indoor", 10), Area { area: "bar".to_owned(), ..Default::default() }];
    set(clients, floor(&venue_id, areas, 90)).await.expect("a floor");
    let mut book = async |start: &str, size, wanted: &str| {
        let booked = clients.bookings.create_booking(request(&venue_id, start, size, wanted)).await;
        booked.map(|booked| booked.into_inner().booking.expect("a booking").area)
    };
    assert_eq!(book("18:00", 3, "").await.expect("booked"), "terrace");
    assert_eq!(book("18:30", 3, "").await.expect("booked"), "indoor");
    assert_eq!(book("18:30", 1, "").await.expect("booked"), "terrace");
    assert_eq!(full(&book("19:00", 2, "terrace").await.expect_err("full")).1, "0");
    assert_eq!(book("19:00", 7, "indoor").await.expect("booked"), "indoor");
    assert_eq!(full(&book("19:00", 1, "indoor").await.expect_err("full")).2, "area");
    assert_eq!(book("19:00", 20, "").await.expect("booked"), "bar", "an area without a limit");
    let refused = book("19:00", 2, "roof").await.expect_err("no such area");
    assert_eq!((refused.code(), full(&refused).0.as_str()), (Code::NotFound, "AREA_NOT_FOUND"));
    // Too many guests arrive at this start.
    assert_eq!(full(&book("19:00", 20, "bar").await.expect_err("full")).2, "slot");
    assert_sound(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn larger_parties_stay_longer_and_tables_are_cleared_between() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    let rule = |max_party_size, from: &str, minutes| SittingRule {
        max_party_size,
        from_time: from.to_owned(),
        minutes,
        ..Default::default()
    };
    let sittings = vec![rule(2, "20:00", 60), rule(2, "", 90), rule(0, "", 135)];
    let floor = Floor { sittings, turn_minutes: 10, ..floor(&venue_id, vec![area("main", 4)], 0) };
    set(clients, floor).await.expect("a floor");
    for (start, size, ends) in [("18:00", 2, "19:30"), ("18:00", 2, "19:30"), ("20:00", 4, "22:15")] {
        let booked = clients.bookings.create_booking(request(&venue_id, start, size, "")).await.expect("booked");
        let booked = booked.into_inner().booking.expect("a booking");
        let [starts, ends_at, until] = [&booked.starts_at, &booked.ends_at, &booked.occupied_until]
            .map(|it| it.as_ref().expect("an instant").seconds);
        let minutes =
            |time: &str| time[..2].parse::<i64>().expect("hours") * 60 + time[3..].parse::<i64>().expect("min");
        assert_eq!((ends_at - starts) / 60, minutes(ends) - minutes(start));
        assert_eq!(until - ends_at, 600);
    }
    // The table is free from 19:40 on, counted in ticks of 15 minutes: from 19:45.
    let refused = clients.bookings.create_booking(request(&venue_id, "19:30", 2, "")).await.expect_err("not cleared");
    assert_eq!(full(&refused).2, "area");
    assert_sound(&booking).await;
}

/// ListAvailability computes visits and open seats in Rust, BatchCheckAvailability in the schema.
#[tokio::test(flavor = "multi_thread")]
async fn the_floor_has_the_same_rules_in_the_schema_and_in_rust() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    let until_time = "20:00".to_owned();
    let short = SittingRule { max_party_size: 2, until_time, minutes: 75, ..Default::default() };
    let sittings = vec![short, SittingRule { minutes: 130, ..Default::default() }];
    let areas = vec![area("terrace", 6), area("indoor", 12)];
    let floor = Floor { sittings, turn_minutes: 10, tick_minutes: 20, ..floor(&venue_id, areas, 0) };
    set(clients, floor).await.expect("a floor");
    for (start, size) in [("18:00", 4), ("18:30", 9), ("20:00", 2), ("21:30", 6)] {
        clients.bookings.create_booking(request(&venue_id, start, size, "")).await.expect("booked");
    }
    for party_size in [1, 2, 3, 7, 13] {
        assert_eq!(listed_as_checked(clients, &venue_id, party_size).await.len(), 8);
    }
}
