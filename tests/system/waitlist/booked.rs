//! Bookings of those who wait, and offers that are moved.

use teppan_shared::contract::booking::v1::{
    CreateBookingRequest, JoinWaitlistRequest, RecordPaymentRequest, WaitlistEntry, WaitlistEntryStatus,
};
use teppan_tests::fixtures;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{assert_sound, becomes, busy, join, join_by, leave, now, request};
use crate::{
    changes::{Change, House, refusal},
    payments,
};

/// A booking at a time of the same day, by the customer of a request to wait.
fn booking_of(waiting: &JoinWaitlistRequest, start_time: &str, party_size: i32) -> CreateBookingRequest {
    CreateBookingRequest {
        start_time: start_time.to_owned(),
        contact: waiting.contact.clone(),
        ..fixtures::booking(&waiting.venue_id, party_size)
    }
}

async fn book(house: &House, request: CreateBookingRequest) -> String {
    let made = house.service.clients.clone().bookings.create_booking(request).await.expect("booked");
    made.into_inner().booking.expect("the booking").booking_id
}

fn is_left(entry: &WaitlistEntry) -> bool {
    (entry.status(), entry.position) == (WaitlistEntryStatus::Left, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_books_the_slot_otherwise_no_longer_waits_for_it() {
    let house = House::open(4).await;
    let clients = &house.service.clients;
    house.book(3).await;
    book(&house, CreateBookingRequest { start_time: "18:30".to_owned(), ..fixtures::booking(&house.venue_id, 4) })
        .await;
    let wish = request(&house.venue_id, 2);
    let waiting = join_by(clients, wish.clone()).await.expect("joined");
    let behind = join(&house, 2).await;
    let other_slot = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        start_time: "18:30".to_owned(),
        ..wish.clone()
    };
    let elsewhere = join_by(clients, other_slot).await.expect("joined");

    let booking_id = book(&house, booking_of(&wish, "18:00", 1)).await;
    let left = now(&house, &waiting).await;
    assert!(is_left(&left), "{left:?}");
    assert_ne!(left.updated_at, waiting.updated_at);
    assert_eq!(now(&house, &behind).await.position, 1, "the next one moves up");
    assert_eq!(now(&house, &elsewhere).await, elsewhere, "another slot is another queue");
    let kept = "SELECT count(*) FROM waitlist_entries WHERE status = 'LEFT' AND special_requests_sealed IS NOT NULL";
    assert_eq!(house.service.scalar::<i64>(kept).await, 0);

    // Who has a booking may wait for a larger party, and goes on waiting while that booking changes there.
    let again = JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), party_size: 3, ..wish };
    let again = join_by(clients, again).await.expect("joined again");
    house.act(Change::Confirm, &booking_id).await.expect("confirmed");
    assert_eq!(now(&house, &again).await.status(), WaitlistEntryStatus::Waiting);
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_booking_is_moved_to_the_slot_no_longer_waits_for_it() {
    let house = House::open(4).await;
    house.book(3).await;
    let wish = request(&house.venue_id, 2);
    let waiting = join_by(&house.service.clients, wish.clone()).await.expect("joined");
    let booking_id = book(&house, booking_of(&wish, "18:30", 1)).await;
    assert_eq!(now(&house, &waiting).await.status(), WaitlistEntryStatus::Waiting);
    house.act(Change::Move("18:00"), &booking_id).await.expect("moved");
    assert!(is_left(&now(&house, &waiting).await));
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_late_payment_takes_the_seats_again_no_longer_waits_for_them() {
    let house = House::of(busy().await, 2, 25).await;
    house.book(1).await;
    let wish = request(&house.venue_id, 2);
    let booking_id = book(&house, booking_of(&wish, "18:00", 1)).await;
    house.run_out(&booking_id).await;
    let expired = "SELECT count(*) FROM bookings WHERE status = 'EXPIRED'";
    teppan_tests::harness::eventually("it expires", async || house.service.scalar::<i64>(expired).await == 1).await;
    let waiting = join_by(&house.service.clients, wish).await.expect("joined");
    let pay: RecordPaymentRequest = payments::cash(&booking_id, 875);
    house.service.clients.payments.clone().record_payment(pay).await.expect("paid");
    assert!(is_left(&now(&house, &waiting).await));
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_is_larger_than_the_slot_cannot_wait_for_it() {
    let house = House::open(4).await;
    house.book(4).await;
    let before = house.service.written().await;
    let refused = join_by(&house.service.clients, request(&house.venue_id, 5)).await.expect_err("too large");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refusal(&refused, "capacity"), ("PARTY_EXCEEDS_CAPACITY".to_owned(), "4".to_owned()));
    assert!(refused.get_details_precondition_failure().is_some());
    assert_eq!(house.service.written().await, before, "nothing was written");
    assert_eq!(join(&house, 4).await.position, 1);
}

/// An offer of two seats at this time, of four; the other two are free.
async fn offered(house: &House, wish: &JoinWaitlistRequest, start_time: &str) -> WaitlistEntry {
    let full = CreateBookingRequest { start_time: start_time.to_owned(), ..fixtures::booking(&house.venue_id, 4) };
    let full = book(house, full).await;
    let wish = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        start_time: start_time.to_owned(),
        ..wish.clone()
    };
    let entry = join_by(&house.service.clients, wish).await.expect("joined");
    house.act(Change::Cancel, &full).await.expect("cancelled");
    becomes(house, &entry, WaitlistEntryStatus::Offered).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_moved_takes_its_entry_along() {
    let house = House::open(4).await;
    let clients = &house.service.clients;
    let wish = request(&house.venue_id, 2);
    let entry = offered(&house, &wish, "18:00").await;
    // The customer waits for more seats there, too.
    book(&house, CreateBookingRequest { start_time: "18:30".to_owned(), ..fixtures::booking(&house.venue_id, 2) })
        .await;
    let more = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        start_time: "18:30".to_owned(),
        party_size: 3,
        ..wish
    };
    let more = join_by(clients, more).await.expect("joined");

    let moved = house.act(Change::Move("18:30"), &entry.booking_id).await.expect("moved");
    let along = now(&house, &entry).await;
    assert_eq!((along.status(), along.start_time.as_str()), (WaitlistEntryStatus::Offered, "18:30"));
    assert_eq!((along.starts_at, along.updated_at), (moved.starts_at, moved.updated_at));
    assert_eq!(along.offer_expires_at, moved.hold_expires_at);
    assert!(is_left(&now(&house, &more).await), "seats of the slot are taken");
    assert_sound(&house).await;

    let left = leave(clients, &entry).await.expect("given up");
    assert_eq!((left.status(), left.start_time.as_str()), (WaitlistEntryStatus::Left, "18:30"));
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_was_taken_leaves_its_entry_where_it_was_made() {
    let house = House::open(4).await;
    let entry = offered(&house, &request(&house.venue_id, 2), "18:00").await;
    house.act(Change::Confirm, &entry.booking_id).await.expect("taken");
    let taken = now(&house, &entry).await;
    house.act(Change::Move("18:30"), &entry.booking_id).await.expect("moved");
    assert_eq!(now(&house, &entry).await, taken);
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_not_moved_to_a_slot_of_which_the_customer_has_another_offer() {
    let house = House::open(4).await;
    let wish = request(&house.venue_id, 2);
    let (first, second) = (offered(&house, &wish, "18:00").await, offered(&house, &wish, "18:30").await);
    let before = house.service.written().await;
    let refused = house.act(Change::Move("18:30"), &first.booking_id).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let expected = ("SLOT_ALREADY_OFFERED".to_owned(), "BOOKING_STATUS_PENDING".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
    assert_eq!(house.service.written().await, before, "nothing was written");
    leave(&house.service.clients, &second).await.expect("given up");
    house.act(Change::Move("18:30"), &first.booking_id).await.expect("moved");
    assert_sound(&house).await;
}
