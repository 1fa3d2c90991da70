//! Bookings of customers who wait, and offers that are rescheduled.

use teppan_shared::contract::booking::v1::{
    CreateBookingRequest, JoinWaitlistRequest, RecordPaymentRequest, RescheduleBookingRequest, WaitlistEntry,
    WaitlistEntryStatus,
};
use teppan_tests::fixtures;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{assert_sound, becomes, join, join_by, leave, now, request, service_with_fast_workers};
use crate::{
    changes::{Change, VenueFixture, refusal},
    payments,
};

/// A booking on the same day, by the customer of this request to wait.
fn booking_of(waiting: &JoinWaitlistRequest, start_time: &str, party_size: i32) -> CreateBookingRequest {
    CreateBookingRequest {
        start_time: start_time.to_owned(),
        contact: waiting.contact.clone(),
        ..fixtures::booking(&waiting.venue_id, party_size)
    }
}

async fn book(fixture: &VenueFixture, request: CreateBookingRequest) -> String {
    let made = fixture.service.clients.clone().bookings.create_booking(request).await.expect("booked");
    made.into_inner().booking.expect("the booking").booking_id
}

fn is_left(entry: &WaitlistEntry) -> bool {
    (entry.status(), entry.position) == (WaitlistEntryStatus::Left, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_books_the_slot_directly_no_longer_waits_for_it() {
    let fixture = VenueFixture::with_deposit(4).await;
    let clients = &fixture.service.clients;
    fixture.book(3).await;
    book(&fixture, CreateBookingRequest { start_time: "18:30".to_owned(), ..fixtures::booking(&fixture.venue_id, 4) })
        .await;
    let wish = request(&fixture.venue_id, 2);
    let waiting = join_by(clients, wish.clone()).await.expect("joined");
    let behind = join(&fixture, 2).await;
    let other_slot = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        start_time: "18:30".to_owned(),
        ..wish.clone()
    };
    let elsewhere = join_by(clients, other_slot).await.expect("joined");

    let booking_id = book(&fixture, booking_of(&wish, "18:00", 1)).await;
    let left = now(&fixture, &waiting).await;
    assert!(is_left(&left), "{left:?}");
    assert_ne!(left.updated_at, waiting.updated_at);
    assert_eq!(now(&fixture, &behind).await.position, 1, "the next entry moves up");
    assert_eq!(now(&fixture, &elsewhere).await, elsewhere, "another slot is another queue");
    let kept = "SELECT count(*) FROM waitlist_entries WHERE status = 'LEFT' AND details_sealed IS NOT NULL";
    assert_eq!(fixture.service.scalar::<i64>(kept).await, 0);

    // A customer with a booking may wait for a larger party, and keeps waiting while that booking changes in its slot.
    let again = JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), party_size: 3, ..wish };
    let again = join_by(clients, again).await.expect("joined again");
    fixture.act(Change::Confirm, &booking_id).await.expect("confirmed");
    assert_eq!(now(&fixture, &again).await.status(), WaitlistEntryStatus::Waiting);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_booking_is_moved_to_the_slot_no_longer_waits_for_it() {
    let fixture = VenueFixture::with_deposit(4).await;
    fixture.book(3).await;
    let wish = request(&fixture.venue_id, 2);
    let waiting = join_by(&fixture.service.clients, wish.clone()).await.expect("joined");
    let booking_id = book(&fixture, booking_of(&wish, "18:30", 1)).await;
    assert_eq!(now(&fixture, &waiting).await.status(), WaitlistEntryStatus::Waiting);
    fixture.act(Change::Move("18:00"), &booking_id).await.expect("moved");
    assert!(is_left(&now(&fixture, &waiting).await));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_late_payment_retakes_the_seats_no_longer_waits_for_them() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    fixture.book(1).await;
    let wish = request(&fixture.venue_id, 2);
    let booking_id = book(&fixture, booking_of(&wish, "18:00", 1)).await;
    fixture.expire_hold(&booking_id).await;
    let expired = "SELECT count(*) FROM bookings WHERE status = 'EXPIRED'";
    teppan_tests::harness::eventually("it expires", async || fixture.service.scalar::<i64>(expired).await == 1).await;
    let waiting = join_by(&fixture.service.clients, wish).await.expect("joined");
    let pay: RecordPaymentRequest = payments::cash(&booking_id, 875);
    fixture.service.clients.payments.clone().record_payment(pay).await.expect("paid");
    assert!(is_left(&now(&fixture, &waiting).await));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_is_larger_than_the_slot_cannot_wait_for_it() {
    let fixture = VenueFixture::with_deposit(4).await;
    fixture.book(4).await;
    let before = fixture.service.written().await;
    let refused = join_by(&fixture.service.clients, request(&fixture.venue_id, 5)).await.expect_err("too large");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refusal(&refused, "capacity"), ("PARTY_EXCEEDS_CAPACITY".to_owned(), "4".to_owned()));
    assert!(refused.get_details_precondition_failure().is_some());
    assert_eq!(fixture.service.written().await, before, "nothing was written");
    assert_eq!(join(&fixture, 4).await.position, 1);
}

/// An offer of two of the four seats at this time; the other two seats are free.
async fn offered(fixture: &VenueFixture, wish: &JoinWaitlistRequest, start_time: &str) -> WaitlistEntry {
    let full = CreateBookingRequest { start_time: start_time.to_owned(), ..fixtures::booking(&fixture.venue_id, 4) };
    let full = book(fixture, full).await;
    let wish = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        start_time: start_time.to_owned(),
        ..wish.clone()
    };
    let entry = join_by(&fixture.service.clients, wish).await.expect("joined");
    fixture.act(Change::Cancel, &full).await.expect("cancelled");
    becomes(fixture, &entry, WaitlistEntryStatus::Offered).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescheduled_offer_moves_its_entry_to_the_new_slot() {
    let fixture = VenueFixture::with_deposit(4).await;
    let clients = &fixture.service.clients;
    let wish = request(&fixture.venue_id, 2);
    let entry = offered(&fixture, &wish, "18:00").await;
    // The customer also waits for more seats in that slot.
    book(&fixture, CreateBookingRequest { start_time: "18:30".to_owned(), ..fixtures::booking(&fixture.venue_id, 2) })
        .await;
    let more = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        start_time: "18:30".to_owned(),
        party_size: 3,
        ..wish
    };
    let more = join_by(clients, more).await.expect("joined");

    let moved = fixture.act(Change::Move("18:30"), &entry.booking_id).await.expect("moved");
    let along = now(&fixture, &entry).await;
    assert_eq!((along.status(), along.start_time.as_str()), (WaitlistEntryStatus::Offered, "18:30"));
    assert_eq!((along.starts_at, along.updated_at), (moved.starts_at, moved.updated_at));
    assert_eq!(along.offer_expires_at, moved.hold_expires_at);
    assert!(is_left(&now(&fixture, &more).await), "the customer now has seats in the slot");
    assert_sound(&fixture).await;

    let left = leave(clients, &entry).await.expect("declined");
    assert_eq!((left.status(), left.start_time.as_str()), (WaitlistEntryStatus::Left, "18:30"));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescheduling_an_accepted_offer_does_not_move_its_entry() {
    let fixture = VenueFixture::with_deposit(4).await;
    let entry = offered(&fixture, &request(&fixture.venue_id, 2), "18:00").await;
    fixture.act(Change::Confirm, &entry.booking_id).await.expect("taken");
    let taken = now(&fixture, &entry).await;
    fixture.act(Change::Move("18:30"), &entry.booking_id).await.expect("moved");
    assert_eq!(now(&fixture, &entry).await, taken);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_cannot_be_rescheduled_to_a_slot_in_which_the_customer_has_another_offer() {
    let fixture = VenueFixture::with_deposit(4).await;
    let wish = request(&fixture.venue_id, 2);
    let (first, second) = (offered(&fixture, &wish, "18:00").await, offered(&fixture, &wish, "18:30").await);
    let before = fixture.service.written().await;
    let preview = RescheduleBookingRequest {
        booking_id: first.booking_id.clone(),
        start_time: "18:30".to_owned(),
        validate_only: true,
        ..Default::default()
    };
    let previewed = fixture.service.clients.bookings.clone().reschedule_booking(preview).await.expect_err("refused");
    let refused = fixture.act(Change::Move("18:30"), &first.booking_id).await.expect_err("refused");
    for refused in [previewed, refused] {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let expected = ("SLOT_ALREADY_OFFERED".to_owned(), "BOOKING_STATUS_PENDING".to_owned());
        assert_eq!(refusal(&refused, "status"), expected);
    }
    assert_eq!(fixture.service.written().await, before, "nothing was written");
    leave(&fixture.service.clients, &second).await.expect("declined");
    fixture.act(Change::Move("18:30"), &first.booking_id).await.expect("moved");
    assert_sound(&fixture).await;
}
