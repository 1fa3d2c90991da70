use teppan_shared::contract::booking::v1::{
    BookingStatus, CancelBookingRequest, CancellationInitiator, CreateBookingRequest, RescheduleBookingRequest,
};
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
