use teppan_shared::contract::booking::v1::{
    CancelBookingRequest, CancellationInitiator, CreateBookingRequest, JoinWaitlistRequest, ListWaitlistRequest,
    WaitlistEntryStatus,
};
use teppan_tests::{fixtures, harness::eventually};

use super::{area, assert_sound, floor, full, request, set, venue};
use crate::waitlist::service_with_fast_workers;

fn join(of: CreateBookingRequest, validate_only: bool) -> JoinWaitlistRequest {
    JoinWaitlistRequest {
        idempotency_key: of.idempotency_key,
        venue_id: of.venue_id,
        date: of.date,
        start_time: of.start_time,
        party_size: of.party_size,
        contact: of.contact,
        validate_only,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_come_free_at_one_start_are_offered_to_those_who_wait_for_another() {
    let mut booking = service_with_fast_workers().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("main", 10)], 120)).await.expect("a floor");
    let wish = request(&venue_id, "19:30", 4, "");
    for validate_only in [true, false] {
        let refused = clients.bookings.join_waitlist(join(wish.clone(), validate_only)).await.expect_err("free");
        assert_eq!(full(&refused).0, "SLOT_AVAILABLE");
        let large = request(&venue_id, "19:30", 11, "");
        clients.bookings.join_waitlist(join(large, validate_only)).await.expect_err("larger than any area");
    }
    let first = clients.bookings.create_booking(request(&venue_id, "18:00", 8, "")).await.expect("booked");
    let first = first.into_inner().booking.expect("a booking").booking_id;
    let large = clients.bookings.join_waitlist(join(request(&venue_id, "19:30", 11, ""), false)).await;
    assert_eq!(full(&large.expect_err("larger than any area")).0, "PARTY_EXCEEDS_CAPACITY");
    clients.bookings.join_waitlist(join(wish.clone(), true)).await.expect("could wait");
    clients.bookings.join_waitlist(join(wish, false)).await.expect("waits");

    let cancelled_by = CancellationInitiator::Customer.into();
    let cancel = CancelBookingRequest { booking_id: first, cancelled_by, ..Default::default() };
    clients.bookings.cancel_booking(cancel).await.expect("cancelled");
    let clients = booking.clients.clone();
    eventually("the seats are offered", async || {
        let list = ListWaitlistRequest { venue_id: venue_id.clone(), ..Default::default() };
        let entries = clients.clone().bookings.list_waitlist(list).await.expect("listed").into_inner().entries;
        entries.iter().any(|entry| entry.status() == WaitlistEntryStatus::Offered)
    })
    .await;
    assert_eq!(booking.scalar::<String>("SELECT area FROM bookings WHERE status = 'PENDING'").await, "main");
    assert_sound(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_for_an_area_gets_its_seats_and_no_others() {
    let mut booking = service_with_fast_workers().await;
    let clients = &mut booking.clients;
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("main", 4), area("terrace", 4)], 120)).await.expect("a floor");
    let mut taken = Vec::new();
    for name in ["main", "terrace"] {
        let made = clients.bookings.create_booking(request(&venue_id, "18:00", 4, name)).await.expect("booked");
        taken.push(made.into_inner().booking.expect("a booking").booking_id);
    }
    let wish = |areas: &[&str]| JoinWaitlistRequest {
        latest_start_time: "19:00".to_owned(),
        areas: areas.iter().map(ToString::to_string).collect(),
        ..join(request(&venue_id, "18:00", 2, ""), false)
    };
    let unknown = clients.bookings.join_waitlist(wish(&["terrace", "roof"])).await.expect_err("no such area");
    assert_eq!(full(&unknown).0, "AREA_NOT_FOUND");
    let outside = clients.bookings.join_waitlist(wish(&["terrace"])).await.expect("waits").into_inner();
    assert_eq!(outside.entry.expect("the entry").areas, ["terrace"]);
    let inside = clients.bookings.join_waitlist(wish(&["main"])).await.expect("waits").into_inner();
    let inside = inside.entry.expect("the entry").waitlist_entry_id;

    let cancel = CancelBookingRequest { booking_id: taken[0].clone(), ..Default::default() };
    clients.bookings.cancel_booking(cancel).await.expect("cancelled");
    let clients = booking.clients.clone();
    let offered = async || {
        let list = ListWaitlistRequest {
            venue_id: venue_id.clone(),
            statuses: vec![WaitlistEntryStatus::Offered.into()],
            ..Default::default()
        };
        let entries = clients.clone().bookings.list_waitlist(list).await.expect("listed").into_inner().entries;
        entries.into_iter().map(|it| (it.waitlist_entry_id, it.offered_area)).collect::<Vec<_>>()
    };
    eventually("the seats of the main area are offered", async || !offered().await.is_empty()).await;
    let notes = "SELECT count(*) FROM waitlist_openings";
    eventually("all openings are handled", async || booking.scalar::<i64>(notes).await == 0).await;
    assert_eq!(offered().await, [(inside, "main".to_owned())], "although the other entry came first");
    let cancel = CancelBookingRequest { booking_id: taken[1].clone(), ..Default::default() };
    clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    eventually("the seats of the terrace are offered", async || {
        offered().await.iter().any(|(_, area)| area == "terrace")
    })
    .await;
    assert_sound(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_can_wait_for_starts_that_were_laid_out_after_the_floor() {
    let booking = service_with_fast_workers().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("main", 4), area("bar", 2)], 120)).await.expect("a floor");
    let mut schedule = fixtures::every_evening(&venue_id, 40);
    "22:00".clone_into(&mut schedule.periods[0].last_start);
    clients.schedule.set_weekly_schedule(schedule).await.expect("set");
    for (area, size) in [("main", 4), ("bar", 2)] {
        clients.bookings.create_booking(request(&venue_id, "21:00", size, area)).await.expect("booked");
    }
    let window = |party_size, area: &str| JoinWaitlistRequest {
        latest_start_time: "22:00".to_owned(),
        areas: vec![area.to_owned()],
        ..join(request(&venue_id, "21:30", party_size, ""), false)
    };
    let entry = clients.bookings.join_waitlist(window(3, "main")).await.expect("waits").into_inner().entry;
    assert_eq!(entry.expect("the entry").start_time, "21:30");
    let large = clients.bookings.join_waitlist(window(3, "bar")).await.expect_err("two seats");
    assert_eq!(full(&large).0, "PARTY_EXCEEDS_CAPACITY");
    assert_sound(&booking).await;
}
