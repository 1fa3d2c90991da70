//! ReinstateBooking. The unit tests of the decision cover its boundaries.

use futures::future::join_all;
use teppan_shared::contract::booking::v1::{BookingStatus, ReinstateBookingRequest};
use teppan_tests::harness::{self, Booking};
use tonic::Code;

use super::{Change, VenueFixture, act, refusal};
use crate::verify;

#[tokio::test(flavor = "multi_thread")]
async fn a_no_show_that_was_entered_by_mistake_is_taken_back_with_its_seats_and_follow_up() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.mark_started(&made.booking_id).await;
    fixture.act(Change::NoShow, &made.booking_id).await.expect("marked as a no-show");
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);
    let before = fixture.service.written().await;
    let preview =
        ReinstateBookingRequest { booking_id: made.booking_id.clone(), validate_only: true, ..Default::default() };
    let preview = fixture.service.clients.clone().bookings.reinstate_booking(preview).await.expect("valid");
    let preview = preview.into_inner().booking.expect("the booking");
    assert_eq!((preview.status(), &*preview.etag), (BookingStatus::Confirmed, ""));
    assert_eq!(fixture.service.written().await, before);

    let reinstated = fixture.act(Change::Reinstate, &made.booking_id).await.expect("reinstated");
    assert_eq!((reinstated.status(), reinstated.version), (BookingStatus::Confirmed, 3));
    assert_eq!(reinstated.confirmed_at, made.confirmed_at);
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 4);
    let again = act(&fixture.service.clients, Change::Reinstate, &made.booking_id, &made.etag).await;
    assert_eq!(again.expect("the target state"), reinstated);
    let messages = "SELECT string_agg(split_part(e.type, '.', 3), ' ' ORDER BY e.version) FROM outbox_messages o
                    JOIN booking_events e USING (event_id) WHERE o.destination = 'conversation-service'";
    assert_eq!(fixture.service.scalar::<String>(messages).await, "created no_show reinstated");
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_is_taken_back_while_its_seats_are_free_and_its_time_is_not_over() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(6).await;
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert!(cancelled.cancelled_at.is_some());
    let other = fixture.book(5).await;
    let before = fixture.service.written().await;
    let refused = fixture.act(Change::Reinstate, &made.booking_id).await.expect_err("full");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refusal(&refused, "open_seats"), ("SLOT_FULL".to_owned(), "5".to_owned()));
    fixture.sql("UPDATE venues SET undo_minutes = 0").await;
    let refused = fixture.act(Change::Reinstate, &made.booking_id).await.expect_err("too late");
    assert_eq!(refusal(&refused, "undo_minutes"), ("UNDO_TIME_OVER".to_owned(), "0".to_owned()));
    assert_eq!(refusal(&refused, "status").1, "BOOKING_STATUS_CANCELLED");
    assert_eq!(fixture.service.written().await, before);

    fixture.sql("UPDATE venues SET undo_minutes = 60").await;
    fixture.act(Change::Cancel, &other.booking_id).await.expect("cancelled");
    // Also if the venue has closed the slot meanwhile.
    fixture.sql("UPDATE slots SET state = 'CLOSED', price_per_person_cents = 9900").await;
    let pending = fixture.act(Change::Reinstate, &made.booking_id).await.expect("reinstated");
    assert_eq!((pending.status(), pending.deposit_due_cents), (BookingStatus::Pending, made.deposit_due_cents));
    assert!(
        pending.hold_expires_at.is_some() && pending.cancelled_at.is_none() && pending.total_cents == made.total_cents
    );
    fixture.act(Change::Confirm, &made.booking_id).await.expect("confirmed");
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled again");
    fixture.sql("UPDATE slots SET state = 'OPEN'").await;
    let confirmed = fixture.act(Change::Reinstate, &made.booking_id).await.expect("reinstated again");
    assert_eq!(confirmed.status(), BookingStatus::Confirmed);
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_that_want_the_last_seats_one_gets_them() {
    let fixture = VenueFixture::without_deposit(10).await;
    let mut cancelled = Vec::new();
    for _ in 0..8 {
        let made = fixture.book(6).await;
        fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        cancelled.push(made.booking_id);
    }
    let settings = harness::settings(fixture.service.url.clone(), &fixture.service.keys);
    let other = Booking::with(settings, fixture.service.url.clone(), fixture.service.keys.clone()).await.ready().await;
    // Each booking is reinstated by four clients of two replicas.
    let calls = cancelled.iter().flat_map(|id| std::iter::repeat_n(id, 4)).enumerate().map(|(n, id)| {
        let clients = if n % 2 == 0 { &fixture.service.clients } else { &other.clients };
        async move { act(clients, Change::Reinstate, id, "").await }
    });
    let (reinstated, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    // The other calls for the same booking find it reinstated, or are refused before that.
    assert!((1..=4).contains(&reinstated.len()), "{}", reinstated.len());
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(refusal(&status, "open_seats"), ("SLOT_FULL".to_owned(), "4".to_owned()));
    }
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM bookings WHERE status = 'CONFIRMED'").await, 1);
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
}
