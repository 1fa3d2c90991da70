//! With `validate_only` a call answers as it otherwise would and writes nothing.

use teppan_shared::contract::booking::v1::{
    Booking as Made, BookingStatus, CancelBookingRequest, CompleteBookingRequest, ConfirmBookingRequest,
    CreateBookingRequest, JoinWaitlistRequest, LeaveWaitlistRequest, MarkNoShowRequest, RescheduleBookingRequest,
    WaitlistEntryStatus,
};
use teppan_tests::fixtures;

use super::{Change, VenueFixture, refusal};
use crate::waitlist;

/// All stored rows as one text.
async fn contents(fixture: &VenueFixture) -> String {
    fixture
        .service
        .scalar(
            "SELECT string_agg(line, '|' ORDER BY line) FROM (
                 SELECT b::text AS line FROM bookings b UNION ALL SELECT e::text FROM booking_events e
                 UNION ALL SELECT s::text FROM slots s WHERE reserved > 0 UNION ALL SELECT w::text FROM waitlist_entries w
                 UNION ALL SELECT c::text FROM customers c UNION ALL SELECT m::text FROM outbox_messages m
                 UNION ALL SELECT k::text FROM idempotency_keys k) AS rows",
        )
        .await
}

/// The booking of an answer to a call with `validate_only`.
fn previewed(booking: Option<Made>) -> Made {
    let booking = booking.expect("a booking");
    assert_eq!(booking.etag, "", "a preview has no etag");
    booking
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_with_validate_only_is_answered_and_not_made() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    let (booking_id, validate_only) = (made.booking_id.clone(), true);
    let mut bookings = fixture.service.clients.bookings.clone();
    let before = contents(&fixture).await;

    let confirm = ConfirmBookingRequest { booking_id: booking_id.clone(), validate_only, ..Default::default() };
    let confirmed = previewed(bookings.confirm_booking(confirm).await.expect("valid").into_inner().booking);
    assert_eq!((confirmed.status(), confirmed.version), (BookingStatus::Confirmed, 2));
    let cancel = CancelBookingRequest { booking_id: booking_id.clone(), validate_only, ..Default::default() };
    let cancelled = previewed(bookings.cancel_booking(cancel).await.expect("valid").into_inner().booking);
    assert_eq!(cancelled.status(), BookingStatus::Cancelled);
    let move_it = RescheduleBookingRequest {
        booking_id: booking_id.clone(),
        start_time: "18:30".to_owned(),
        party_size: Some(2),
        validate_only,
        ..Default::default()
    };
    let moved = previewed(bookings.reschedule_booking(move_it).await.expect("valid").into_inner().booking);
    assert_eq!((moved.start_time.as_str(), moved.total_cents), ("18:30", made.total_cents / 2));
    assert_eq!(contents(&fixture).await, before);

    fixture.mark_started(&booking_id).await;
    let before = contents(&fixture).await;
    let complete = CompleteBookingRequest { booking_id: booking_id.clone(), validate_only, ..Default::default() };
    let refused = bookings.complete_booking(complete.clone()).await.expect_err("the booking is not confirmed");
    assert_eq!(refusal(&refused, "status").1, "BOOKING_STATUS_PENDING");
    assert_eq!(contents(&fixture).await, before);

    let firm = fixture.book(1).await;
    fixture.act(Change::Confirm, &firm.booking_id).await.expect("confirmed");
    fixture.mark_started(&firm.booking_id).await;
    let before = contents(&fixture).await;
    let complete = CompleteBookingRequest { booking_id: firm.booking_id.clone(), ..complete };
    let completed = previewed(bookings.complete_booking(complete).await.expect("valid").into_inner().booking);
    assert_eq!(completed.status(), BookingStatus::Completed);
    let no_show = MarkNoShowRequest { booking_id: firm.booking_id, validate_only, ..Default::default() };
    let missed = previewed(bookings.mark_no_show(no_show).await.expect("valid").into_inner().booking);
    assert_eq!(missed.status(), BookingStatus::NoShow);
    assert_eq!(contents(&fixture).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_booking_with_validate_only_answers_without_ids_and_does_not_use_its_key() {
    let fixture = VenueFixture::with_deposit(4).await;
    fixture.book(1).await;
    let mut bookings = fixture.service.clients.bookings.clone();
    let before = contents(&fixture).await;
    let request = fixtures::booking(&fixture.venue_id, 3);
    let preview = CreateBookingRequest { validate_only: true, ..request.clone() };
    let answer = bookings.create_booking(preview.clone()).await.expect("valid").into_inner();
    let shown = previewed(answer.booking);
    assert_eq!((shown.booking_id.as_str(), shown.confirmation_code.as_str(), answer.replayed), ("", "", false));
    let full = CreateBookingRequest { party_size: 4, ..preview.clone() };
    let refused = bookings.create_booking(full).await.expect_err("there are three seats");
    assert_eq!(refusal(&refused, "open_seats"), ("SLOT_FULL".to_owned(), "3".to_owned()));
    assert_eq!(contents(&fixture).await, before);

    let made = bookings.create_booking(request).await.expect("booked").into_inner().booking.expect("the booking");
    assert_eq!(
        (shown.status, shown.total_cents, shown.deposit_cents, shown.deposit_due_cents, shown.special_requests),
        (made.status, made.total_cents, made.deposit_cents, made.deposit_due_cents, made.special_requests.clone())
    );
    let again = bookings.create_booking(preview).await.expect("replayed").into_inner();
    assert!(again.replayed && again.booking.expect("the booking").booking_id == made.booking_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_or_leaving_a_waitlist_with_validate_only_changes_nothing() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    let entry = waitlist::join(&fixture, 1).await;
    let before = contents(&fixture).await;
    let join = JoinWaitlistRequest { validate_only: true, ..waitlist::request(&fixture.venue_id, 1) };
    let shown = waitlist::join_by(&fixture.service.clients, join.clone()).await.expect("valid");
    assert_eq!(
        (shown.waitlist_entry_id.as_str(), shown.position, shown.status()),
        ("", 2, WaitlistEntryStatus::Waiting)
    );
    let too_many = JoinWaitlistRequest { party_size: 3, ..join };
    let refused = waitlist::join_by(&fixture.service.clients, too_many).await.expect_err("the slot has two seats");
    assert_eq!(refusal(&refused, "capacity"), ("PARTY_EXCEEDS_CAPACITY".to_owned(), "2".to_owned()));
    let leave = LeaveWaitlistRequest { waitlist_entry_id: entry.waitlist_entry_id, validate_only: true };
    let left = fixture.service.clients.bookings.clone().leave_waitlist(leave).await.expect("valid").into_inner();
    assert_eq!(left.entry.expect("the entry").status(), WaitlistEntryStatus::Left);
    assert_eq!(contents(&fixture).await, before);
}
