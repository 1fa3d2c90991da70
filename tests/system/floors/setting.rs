use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    Area, Booking as BookingMessage, CancelBookingRequest, CancellationInitiator, Floor, GetFloorRequest,
    SetFloorRequest, SittingRule, UpdateBookingRequest,
};
use teppan_shared::wire::Timestamp;
use teppan_tests::harness::Booking;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{area, assert_sound, floor, full, request, set, venue};

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_is_read_as_it_was_set_and_setting_it_again_changes_nothing() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    let get = GetFloorRequest { venue_id: venue_id.clone() };
    let none = clients.schedule.get_floor(get.clone()).await.expect("read").into_inner().floor.expect("a floor");
    assert_eq!(none, Floor { venue_id: venue_id.clone(), ..Default::default() });

    let wanted = Floor {
        areas: vec![Area { name: "Garden terrace".to_owned(), ..area("terrace", 12) }, area("bar", 6)],
        sittings: vec![
            SittingRule {
                max_party_size: 2,
                from_time: "17:00".to_owned(),
                until_time: "21:30".to_owned(),
                minutes: 90,
            },
            SittingRule { minutes: 120, ..Default::default() },
        ],
        turn_minutes: 15,
        tick_minutes: 30,
        ..floor(&venue_id, Vec::new(), 0)
    };
    let dry = SetFloorRequest { floor: Some(wanted.clone()), validate_only: true };
    let would = clients.schedule.set_floor(dry).await.expect("valid").into_inner().floor.expect("a floor");
    assert_eq!((would.areas.len(), would.etag.as_str()), (2, ""));
    let first = set(clients, wanted.clone()).await.expect("set").floor.expect("a floor");
    let read = clients.schedule.get_floor(get).await.expect("read").into_inner().floor.expect("a floor");
    assert_eq!(read.areas[1].name, "bar");
    assert_eq!((&read.sittings, read.turn_minutes, read.tick_minutes), (&wanted.sittings, 15, 30));
    assert_eq!(read.etag, first.etag);
    let again = set(clients, wanted.clone()).await.expect("set").floor.expect("a floor");
    assert_eq!((again.etag, again.updated_at), (read.etag.clone(), read.updated_at));

    let stale = Floor { etag: "v9".to_owned(), turn_minutes: 0, ..wanted };
    let refused = set(clients, stale.clone()).await.expect_err("stale");
    assert_eq!((refused.code(), full(&refused).0.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let changed = set(clients, Floor { etag: read.etag.clone(), ..stale }).await.expect("set").floor;
    assert_ne!(changed.expect("a floor").etag, read.etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_floor_is_named_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let bad = Floor {
        venue_id: "no".to_owned(),
        areas: vec![
            area("Terrace", 0),
            area("bar", 1),
            area("bar", 1),
            Area { name: "\u{7}".to_owned(), ..area("x", 1) },
        ],
        sittings: vec![
            SittingRule { max_party_size: 51, from_time: "20:00".to_owned(), until_time: "8".to_owned(), minutes: 4 },
            SittingRule {
                from_time: "20:00".to_owned(),
                until_time: "19:00".to_owned(),
                minutes: 60,
                max_party_size: 0,
            },
        ],
        turn_minutes: -1,
        tick_minutes: 7,
        ..Default::default()
    };
    let refused = set(clients, bad).await.expect_err("bad");
    let violations = refused.get_details_bad_request().expect("a BadRequest").field_violations;
    let mut fields: Vec<_> = violations.iter().map(|it| it.field.trim_start_matches("floor.")).collect();
    fields.sort_unstable();
    let expected = [
        "areas[0].area",
        "areas[0].seats",
        "areas[2].area",
        "areas[3].name",
        "sittings",
        "sittings[0].max_party_size",
        "sittings[0].minutes",
        "sittings[0].until_time",
        "sittings[1].until_time",
        "tick_minutes",
        "turn_minutes",
        "venue_id",
    ];
    assert_eq!(fields, expected);
    let nowhere = set(clients, floor(&Uuid::nil().to_string(), vec![area("a", 1)], 60)).await.expect_err("no venue");
    assert_eq!((nowhere.code(), full(&nowhere).0.as_str()), (Code::NotFound, "VENUE_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_from_before_the_floor_are_counted_in_its_first_area() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    let booked = clients.bookings.create_booking(request(&venue_id, "18:00", 30, "")).await.expect("booked");
    let first = booked.into_inner().booking.expect("a booking");
    let done = set(clients, floor(&venue_id, vec![area("main", 20), area("bar", 3)], 120)).await.expect("a floor");
    assert_eq!(done.bookings_counted, 1);
    // More guests than seats: no more are taken at their time, and as many as there are seats at others.
    let refused = clients.bookings.create_booking(request(&venue_id, "19:30", 5, "")).await.expect_err("full");
    assert_eq!(full(&refused).1, "3");
    let refused = clients.bookings.create_booking(request(&venue_id, "20:00", 21, "main")).await.expect_err("full");
    assert_eq!(full(&refused).1, "20");
    clients.bookings.create_booking(request(&venue_id, "20:00", 20, "main")).await.expect("booked");
    assert_sound(&booking).await;
    let clients = &mut booking.clients;

    let without = set(clients, floor(&venue_id, vec![area("bar", 3)], 120)).await.expect_err("in use");
    assert_eq!((without.code(), full(&without).0.as_str()), (Code::FailedPrecondition, "AREA_HAS_BOOKINGS"));

    // It ends earlier, although the area has fewer seats than guests.
    let start = first.starts_at.as_ref().expect("a start").seconds;
    let ends_at = Some(Timestamp { seconds: start + 30 * 60, nanos: 500_000_000 });
    let shorter = BookingMessage { booking_id: first.booking_id.clone(), ends_at, ..Default::default() };
    let update_mask = Some(FieldMask { paths: vec!["ends_at".to_owned()] });
    let shorter = UpdateBookingRequest { booking: Some(shorter), update_mask, ..Default::default() };
    clients.bookings.update_booking(shorter).await.expect("shorter");

    // The booking has no area, so its seats come free in the first one.
    let cancel = CancelBookingRequest {
        booking_id: first.booking_id,
        cancelled_by: CancellationInitiator::Venue.into(),
        ..Default::default()
    };
    clients.bookings.cancel_booking(cancel).await.expect("cancelled");
    clients.bookings.create_booking(request(&venue_id, "18:00", 20, "main")).await.expect("booked");
    assert_sound(&booking).await;
}
