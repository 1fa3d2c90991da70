//! A payment that the bank decides about later keeps the hold meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::booking::v1::{Booking as Made, BookingStatus, ListPaymentsRequest, PaymentStatus};
use teppan_tests::stripe::{Intent, later};

use super::{Till, deposit, sums};
use crate::changes::Change;

fn held_until(booking: &Made) -> DateTime<Utc> {
    let until = booking.hold_expires_at.as_ref().expect("a hold");
    DateTime::from_timestamp(until.seconds, u32::try_from(until.nanos).expect("nanoseconds")).expect("an instant")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_processed_keeps_the_hold_until_it_is_decided() {
    let till = Till::open(20).await;
    let (paid, declined) = (till.four().await, till.four().await);
    for made in [&paid, &declined] {
        till.told(&deposit(made).processing()).await;
        let waits = till.read(&made.booking_id).await;
        assert_eq!((waits.status(), sums(&waits)), (BookingStatus::Pending, (0, 0, 0)));
    }
    let (processed, rejected) = (deposit(&paid), deposit(&declined));
    let until = |now: DateTime<Utc>, made: &Made| {
        let start = made.starts_at.as_ref().expect("a start").seconds;
        (now + TimeDelta::days(14)).min(DateTime::from_timestamp(start, 0).expect("an instant"))
    };
    till.told(&processed.processing()).await;
    till.told(&rejected.processing()).await;
    let waits = till.read(&declined.booking_id).await;
    assert!((held_until(&waits) - until(Utc::now(), &waits)).abs() < TimeDelta::minutes(5), "{waits:?}");
    till.told(&processed.succeeded()).await;
    assert_eq!(till.read(&paid.booking_id).await.status(), BookingStatus::Confirmed);
    // Another payment is still on its way: it keeps the hold.
    till.told(&later(rejected.failed(), 60)).await;
    assert!(held_until(&till.read(&declined.booking_id).await) > held_until(&declined) + TimeDelta::days(1));
    let request = ListPaymentsRequest {
        booking_id: declined.booking_id.clone(),
        statuses: vec![PaymentStatus::Processing.into()],
        ..Default::default()
    };
    let mut payments = till.service.clients.clone().payments;
    assert_eq!(payments.list_payments(request).await.expect("a list").into_inner().payments.len(), 1);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_fails_leaves_the_hold_as_it_had_been() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.processing()).await;
    assert!(held_until(&till.read(&made.booking_id).await) > held_until(&made) + TimeDelta::days(1));
    till.told(&later(paid.failed(), 60)).await;
    assert_eq!(held_until(&till.read(&made.booking_id).await), held_until(&made));
    assert_eq!(till.story(&made.booking_id).await, ["payment.processing", "payment.failed"]);
    // An older event that comes late changes nothing.
    till.told(&paid.processing()).await;
    assert_eq!(held_until(&till.read(&made.booking_id).await), held_until(&made));
    // It may be tried again, and the session names the booking where the intent does not.
    let mut session = later(paid.session_completed(), 120);
    session["data"]["object"]["payment_status"] = "unpaid".into();
    till.told(&session).await;
    let held = till.read(&made.booking_id).await;
    assert!(held_until(&held) > held_until(&made) + TimeDelta::days(1));
    // A booking is confirmed by hand, or cancelled, as ever.
    let firm = till.act(Change::Confirm, &made.booking_id).await.expect("confirmed");
    assert!(firm.hold_expires_at.is_none());
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hold_ends_when_the_bank_takes_too_long_and_the_payment_is_then_late() {
    let till = Till::open(4).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.processing()).await;
    till.expire(&made.booking_id).await;
    let other = till.four().await;
    till.told(&later(paid.succeeded(), 60)).await;
    let owed = till.read(&made.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Expired, (3500, 0, 3500)));
    // Of a booking that waits for nothing there is no hold to be kept.
    let ended = Intent::of(&made.booking_id, 3500);
    till.told(&ended.processing()).await;
    till.told(&later(ended.canceled(), 60)).await;
    assert!(till.read(&made.booking_id).await.hold_expires_at.is_none());
    till.act(Change::Cancel, &other.booking_id).await.expect("cancelled");
    till.assert_counted().await;
}
