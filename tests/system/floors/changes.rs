use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    Booking as BookingMessage, BookingStatus, CancelBookingRequest, CancellationInitiator, CreateBookingRequest, Floor,
    RescheduleBookingRequest, UpdateBookingRequest,
};
use teppan_shared::wire::Timestamp;
use teppan_tests::harness::Booking;

use super::{area, assert_sound, floor, full, request, set, venue};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_booking_moves_its_seats() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("indoor", 10), area("terrace", 6)], 120)).await.expect("a floor");
    let booked = clients.bookings.create_booking(request(&venue_id, "18:00", 10, "")).await.expect("booked");
    let booking_id = booked.into_inner().booking.expect("a booking").booking_id;
    let to = |start_time: &str, party_size, area: &str| RescheduleBookingRequest {
        booking_id: booking_id.clone(),
        start_time: start_time.to_owned(),
        party_size,
        area: area.to_owned(),
        ..Default::default()
    };

    // Its own seats do not stand in its way.
    let moved = clients.bookings.reschedule_booking(to("18:30", None, "")).await.expect("moved");
    assert_eq!(moved.into_inner().booking.expect("a booking").area, "indoor");
    let refused = clients.bookings.reschedule_booking(to("18:30", None, "terrace")).await.expect_err("too small");
    assert_eq!(full(&refused).1, "6");
    let moved = clients.bookings.reschedule_booking(to("18:30", Some(5), "terrace")).await.expect("moved");
    assert_eq!(moved.into_inner().booking.expect("a booking").area, "terrace");
    clients.bookings.create_booking(request(&venue_id, "18:30", 10, "")).await.expect("the seats are free again");
    let refused = clients.bookings.create_booking(request(&venue_id, "19:00", 2, "")).await.expect_err("full");
    assert_eq!(full(&refused).1, "1");
    // It stays on the terrace, also when a party of this size could not change to another area.
    let moved = clients.bookings.reschedule_booking(to("", Some(6), "")).await.expect("a guest more");
    assert_eq!(moved.into_inner().booking.expect("a booking").area, "terrace");

    let cancel = CancelBookingRequest {
        booking_id: booking_id.clone(),
        cancelled_by: CancellationInitiator::Customer.into(),
        ..Default::default()
    };
    let cancelled = clients.bookings.cancel_booking(cancel).await.expect("cancelled").into_inner().booking;
    assert_eq!(cancelled.expect("a booking").status(), BookingStatus::Cancelled);
    clients.bookings.create_booking(request(&venue_id, "19:00", 6, "terrace")).await.expect("booked");
    assert_sound(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_that_ends_earlier_frees_its_seats_and_a_longer_one_needs_them() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    let floor = Floor { turn_minutes: 15, ..floor(&venue_id, vec![area("main", 4)], 90) };
    set(clients, floor).await.expect("a floor");
    let booked = clients.bookings.create_booking(request(&venue_id, "18:00", 4, "")).await.expect("booked");
    let first = booked.into_inner().booking.expect("a booking");
    let start = first.starts_at.as_ref().expect("a start").seconds;
    let until = |minutes: i64| {
        let ends_at = Some(Timestamp { seconds: start + minutes * 60, nanos: 0 });
        let booking = BookingMessage { booking_id: first.booking_id.clone(), ends_at, ..Default::default() };
        let mask = FieldMask { paths: vec!["ends_at".to_owned()] };
        UpdateBookingRequest { booking: Some(booking), update_mask: Some(mask), ..Default::default() }
    };
    clients.bookings.create_booking(request(&venue_id, "19:00", 4, "")).await.expect_err("they stay until 19:30");
    let shorter = clients.bookings.update_booking(until(45)).await.expect("ended early").into_inner().booking;
    let occupied_until = shorter.expect("a booking").occupied_until.expect("a time").seconds;
    assert_eq!(occupied_until, start + 60 * 60);
    clients.bookings.create_booking(request(&venue_id, "19:00", 4, "")).await.expect("booked");
    let refused = clients.bookings.update_booking(until(60)).await.expect_err("others sit there");
    assert_eq!(full(&refused), ("SLOT_FULL".to_owned(), "0".to_owned(), "area".to_owned()));
    for minutes in [0, 24 * 60 + 1] {
        let refused = clients.bookings.update_booking(until(minutes)).await.expect_err("no end of a visit");
        assert_eq!(full(&refused).0, "INVALID_FIELDS");
    }
    assert_sound(&booking).await;
    crate::verify::verify(&booking.url, &[]).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validated_booking_names_its_area_and_takes_no_seats() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("main", 4)], 120)).await.expect("a floor");
    let dry = |party_size| CreateBookingRequest { validate_only: true, ..request(&venue_id, "18:00", party_size, "") };
    for _ in 0..2 {
        let would = clients.bookings.create_booking(dry(4)).await.expect("valid").into_inner().booking;
        assert_eq!(would.expect("a booking").area, "main");
    }
    let refused = clients.bookings.create_booking(dry(5)).await.expect_err("full");
    assert_eq!(full(&refused), ("SLOT_FULL".to_owned(), "4".to_owned(), "area".to_owned()));
    assert_sound(&booking).await;
}
