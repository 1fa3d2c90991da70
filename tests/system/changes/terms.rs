//! The terms under which a booking was made, and refunds that no order of changes increases.

use futures::future::join_all;
use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    Booking as Made, CancellationInitiator, GetBookingRequest, RescheduleBookingRequest, UpdateVenueRequest, Venue,
};

use super::{Change, VenueFixture};
use crate::{payments, verify};

/// Sets these fields of the venue.
pub async fn set_policy(fixture: &VenueFixture, policy: Venue, paths: &[&str]) {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let venue = Venue { venue_id: fixture.venue_id.clone(), ..policy };
    let request =
        UpdateVenueRequest { venue: Some(venue), update_mask: Some(FieldMask { paths }), ..Default::default() };
    fixture.service.clients.clone().schedule.update_venue(request).await.expect("changed");
}

/// A venue without deposits that refunds this much of a cancellation, at any time before the start.
async fn always_late(late_refund_percent: i32) -> VenueFixture {
    let fixture = VenueFixture::without_deposit(20).await;
    let policy = Venue { full_refund_hours: 8760, late_refund_percent, ..Default::default() };
    set_policy(&fixture, policy, &["full_refund_hours", "late_refund_percent"]).await;
    fixture
}

async fn pay(fixture: &VenueFixture, booking_id: &str, cents: i64) {
    let recorded = fixture.service.clients.clone().payments.record_payment(payments::cash(booking_id, cents)).await;
    recorded.expect("recorded");
}

async fn stored(fixture: &VenueFixture, booking_id: &str) -> Made {
    let request = GetBookingRequest { booking_id: booking_id.to_owned(), ..Default::default() };
    let read = fixture.service.clients.clone().bookings.get_booking(request).await.expect("read");
    read.into_inner().booking.expect("the booking")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_keeps_the_terms_under_which_it_was_made() {
    let fixture = VenueFixture::with_deposit(20).await;
    let made = fixture.book(4).await;
    let terms = made.terms.expect("terms");
    assert_eq!((terms.full_refund_hours, terms.late_refund_percent, terms.deposit_percent), (24, 50, 25));
    pay(&fixture, &made.booking_id, made.total_cents).await;

    let stricter =
        Venue { full_refund_hours: 8760, late_refund_percent: 0, deposit_percent: 100, ..Default::default() };
    set_policy(&fixture, stricter, &["full_refund_hours", "late_refund_percent", "deposit_percent"]).await;
    let later = fixture.book(2).await;
    let new_terms = later.terms.expect("terms");
    assert_eq!((new_terms.full_refund_hours, new_terms.late_refund_percent, new_terms.deposit_percent), (8760, 0, 100));
    assert_eq!(later.deposit_cents, later.total_cents);

    let moved = fixture.act(Change::Move("18:30"), &made.booking_id).await.expect("moved");
    assert_eq!((moved.terms, moved.deposit_cents), (Some(terms), made.deposit_cents));
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, made.total_cents, "in time by its own terms");
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_that_are_made_together_have_their_terms_in_row_and_event() {
    let fixture = VenueFixture::with_deposit(40).await;
    let made = join_all((0..30).map(|_| fixture.book(1))).await;
    assert!(made.iter().all(|booking| booking.terms == made[0].terms && booking.terms.is_some()));
    let agree = "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id)
        WHERE b.terms @> '{\"deposit_percent\": 25}' AND (e.data -> 'terms')::jsonb = b.terms";
    assert_eq!(fixture.service.scalar::<i64>(agree).await, 30);
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_venues_current_policy_holds_for_a_booking_of_the_version_before() {
    let fixture = always_late(0).await;
    let made = fixture.book(2).await;
    pay(&fixture, &made.booking_id, made.total_cents).await;
    fixture.sql("UPDATE bookings SET terms = NULL").await;
    assert_eq!(stored(&fixture, &made.booking_id).await.terms, None);
    let policy = Venue { late_refund_percent: 30, ..Default::default() };
    set_policy(&fixture, policy, &["late_refund_percent"]).await;
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, made.total_cents * 30 / 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_guests_get_back_what_a_cancellation_would_give() {
    for (percent, due) in [(0, 0), (50, 5250), (100, 10_500)] {
        let fixture = always_late(percent).await;
        let made = fixture.book(4).await;
        pay(&fixture, &made.booking_id, made.total_cents).await;
        let shrunk = fixture.act(Change::Resize(1), &made.booking_id).await.expect("shrunk");
        assert_eq!((shrunk.total_cents, shrunk.refund_due_cents), (3500, due), "{percent} %");
        assert_eq!(shrunk.retained_cents, 10_500 - due, "{percent} %");
        let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        assert_eq!(cancelled.refund_due_cents, made.total_cents * i64::from(percent) / 100, "as at once: {percent} %");
        let reinstated = fixture.act(Change::Reinstate, &made.booking_id).await.expect("taken back");
        assert_eq!((reinstated.refund_due_cents, reinstated.retained_cents), (due, 10_500 - due), "{percent} %");
        verify::assert_derivable(&fixture.service.url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_booking_that_is_moved_keeps_its_late_refund_unless_the_venue_moves_it() {
    let fixture = always_late(20).await;
    let made = fixture.book(2).await;
    pay(&fixture, &made.booking_id, made.total_cents).await;
    let to = |start_time: &str, validate_only| RescheduleBookingRequest {
        booking_id: made.booking_id.clone(),
        start_time: start_time.to_owned(),
        validate_only,
        ..Default::default()
    };
    let mut bookings = fixture.service.clients.bookings.clone();
    let preview = bookings.reschedule_booking(to("18:30", true)).await.expect("valid").into_inner().booking;
    let moved = bookings.reschedule_booking(to("18:30", false)).await.expect("moved").into_inner().booking;
    for booking in [preview.expect("a booking"), moved.expect("a booking")] {
        assert_eq!((booking.refund_percent_max, booking.refund_due_cents), (Some(20), 0));
        assert_eq!(booking.terms, made.terms);
    }
    // As if it had been moved to a date on which its terms give everything back.
    fixture.sql("UPDATE bookings SET terms = terms || '{\"full_refund_hours\": 0}'").await;
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, made.total_cents / 5);
    fixture.act(Change::Reinstate, &made.booking_id).await.expect("taken back");

    let by_venue =
        RescheduleBookingRequest { rescheduled_by: CancellationInitiator::Venue.into(), ..to("19:00", false) };
    let moved = bookings.reschedule_booking(by_venue).await.expect("moved").into_inner().booking.expect("a booking");
    assert_eq!(moved.refund_percent_max, None);
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, made.total_cents);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_give_back_no_more_than_one_cancellation() {
    let fixture = always_late(50).await;
    let made = fixture.book(8).await;
    pay(&fixture, &made.booking_id, made.total_cents).await;
    let changes = [7, 3, 5, 1, 8, 2, 6, 4]
        .map(Change::Resize)
        .into_iter()
        .chain(["18:30", "19:00", "18:00", "18:30"].map(Change::Move));
    let outcomes = join_all(changes.map(|change| fixture.act(change, &made.booking_id))).await;
    assert!(outcomes.iter().any(Result::is_ok));
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, made.total_cents / 2);
    verify::assert_derivable(&fixture.service.url).await;
}
