//! A payment that is still processing extends the hold.

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::booking::v1::{Booking as Made, BookingStatus, ListPaymentsRequest, PaymentStatus};
use teppan_tests::stripe::{Intent, later};

use super::{StripeFixture, deposit, sums};
use crate::changes::Change;

fn held_until(booking: &Made) -> DateTime<Utc> {
    let until = booking.hold_expires_at.as_ref().expect("a hold");
    DateTime::from_timestamp(until.seconds, u32::try_from(until.nanos).expect("nanoseconds")).expect("an instant")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processing_payment_extends_the_hold_until_it_succeeds_or_fails() {
    let fixture = StripeFixture::with_seats(20).await;
    let (paid, declined) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    for made in [&paid, &declined] {
        fixture.send_and_wait(&deposit(made).processing()).await;
        let waits = fixture.read(&made.booking_id).await;
        assert_eq!((waits.status(), sums(&waits)), (BookingStatus::Pending, (0, 0, 0)));
    }
    let (processed, rejected) = (deposit(&paid), deposit(&declined));
    let until = |now: DateTime<Utc>, made: &Made| {
        let start = made.starts_at.as_ref().expect("a start").seconds;
        (now + TimeDelta::days(14)).min(DateTime::from_timestamp(start, 0).expect("an instant"))
    };
    fixture.send_and_wait(&processed.processing()).await;
    fixture.send_and_wait(&rejected.processing()).await;
    let waits = fixture.read(&declined.booking_id).await;
    assert!((held_until(&waits) - until(Utc::now(), &waits)).abs() < TimeDelta::minutes(5), "{waits:?}");
    fixture.send_and_wait(&processed.succeeded()).await;
    assert_eq!(fixture.read(&paid.booking_id).await.status(), BookingStatus::Confirmed);
    // Another payment is still processing, so the hold stays extended.
    fixture.send_and_wait(&later(rejected.failed(), 60)).await;
    assert!(held_until(&fixture.read(&declined.booking_id).await) > held_until(&declined) + TimeDelta::days(1));
    let request = ListPaymentsRequest {
        booking_id: declined.booking_id.clone(),
        statuses: vec![PaymentStatus::Processing.into()],
        ..Default::default()
    };
    let mut payments = fixture.service.clients.clone().payments;
    assert_eq!(payments.list_payments(request).await.expect("a list").into_inner().payments.len(), 1);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processing_payment_that_fails_restores_the_original_hold() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.processing()).await;
    assert!(held_until(&fixture.read(&made.booking_id).await) > held_until(&made) + TimeDelta::days(1));
    fixture.send_and_wait(&later(paid.failed(), 60)).await;
    assert_eq!(held_until(&fixture.read(&made.booking_id).await), held_until(&made));
    assert_eq!(fixture.event_types(&made.booking_id).await, ["payment.processing", "payment.failed"]);
    // An older event that arrives late changes nothing.
    fixture.send_and_wait(&paid.processing()).await;
    assert_eq!(held_until(&fixture.read(&made.booking_id).await), held_until(&made));
    // The payment may be tried again. The session names the booking; the intent does not.
    let mut session = later(paid.session_completed(), 120);
    session["data"]["object"]["payment_status"] = "unpaid".into();
    fixture.send_and_wait(&session).await;
    let held = fixture.read(&made.booking_id).await;
    assert!(held_until(&held) > held_until(&made) + TimeDelta::days(1));
    // The booking can still be confirmed by hand.
    let firm = fixture.act(Change::Confirm, &made.booking_id).await.expect("confirmed");
    assert!(firm.hold_expires_at.is_none());
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hold_of_a_processing_payment_ends_and_a_later_success_is_owed_back() {
    let fixture = StripeFixture::with_seats(4).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.processing()).await;
    fixture.expire_with_worker(&made.booking_id).await;
    let other = fixture.pending_party_of_four().await;
    fixture.send_and_wait(&later(paid.succeeded(), 60)).await;
    let owed = fixture.read(&made.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Expired, (3500, 0, 3500)));
    // An expired booking has no hold to extend.
    let ended = Intent::of(&made.booking_id, 3500);
    fixture.send_and_wait(&ended.processing()).await;
    fixture.send_and_wait(&later(ended.canceled(), 60)).await;
    assert!(fixture.read(&made.booking_id).await.hold_expires_at.is_none());
    fixture.act(Change::Cancel, &other.booking_id).await.expect("cancelled");
    fixture.assert_sums_and_audit().await;
}
