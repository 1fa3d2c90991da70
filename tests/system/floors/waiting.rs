use teppan_shared::contract::booking::v1::{
    CancelBookingRequest, CancellationInitiator, CreateBookingRequest, JoinWaitlistRequest, ListWaitlistRequest,
    WaitlistEntryStatus,
};
use teppan_tests::harness::eventually;

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
