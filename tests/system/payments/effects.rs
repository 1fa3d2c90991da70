use futures::future::join_all;
use teppan_shared::contract::booking::v1::{BookingStatus, CancelBookingRequest, CancellationInitiator};
use teppan_tests::stripe::Intent;

use super::{Till, cash, cash_back, deposit, sums};
use crate::changes::Change;

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_deposit_confirms_the_booking_once_however_often_it_is_told() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    let (succeeded, session) = (paid.succeeded(), paid.session_completed());
    join_all((0..40).map(|n| till.tell(if n % 2 == 0 { &succeeded } else { &session }))).await;
    till.settled().await;

    assert_eq!(till.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 2);
    let firm = till.read(&made.booking_id).await;
    assert_eq!((firm.status(), firm.version, sums(&firm)), (BookingStatus::Confirmed, 3, (3500, 0, 0)));
    assert!(firm.confirmed_at.is_some() && firm.hold_expires_at.is_none());
    assert_eq!(till.story(&made.booking_id).await, ["payment.recorded", "booking.confirmed"]);
    let cause = "SELECT data->>'cause' || ' ' || (data->>'seats_retaken') FROM booking_events WHERE version = 3";
    assert_eq!(till.service.scalar::<String>(cause).await, "CONFIRMATION_CAUSE_DEPOSIT_PAID false");
    // conversation-service hears of it as it does of ConfirmBooking, and of nothing else.
    let told = "SELECT string_agg(destination || version, ' ') FROM outbox_messages";
    assert_eq!(till.service.scalar::<String>(told).await, "conversation-service3");
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_deposit_confirm_the_booking_when_they_are_complete() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let part = till.record(cash(&made.booking_id, 2000)).await.expect("recorded").booking.expect("the booking");
    assert_eq!((part.status(), sums(&part)), (BookingStatus::Pending, (2000, 0, 0)));
    assert!(part.hold_expires_at.is_some());
    till.told(&Intent::of(&made.booking_id, 1500).succeeded()).await;
    assert_eq!(till.read(&made.booking_id).await.status(), BookingStatus::Confirmed);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_comes_late_keeps_or_takes_again_the_seats_that_are_there() {
    let till = Till::open(4).await;
    // Its hold has run out, and nobody has looked yet.
    let late = till.four().await;
    till.run_out(&late.booking_id).await;
    till.told(&deposit(&late).succeeded()).await;
    assert_eq!(till.read(&late.booking_id).await.status(), BookingStatus::Confirmed);
    till.act(Change::Cancel, &late.booking_id).await.expect("cancelled");

    // Its seats are free, and still there.
    let expired = till.four().await;
    till.record(cash(&expired.booking_id, 1000)).await.expect("a part");
    till.expire(&expired.booking_id).await;
    assert_eq!(sums(&till.read(&expired.booking_id).await), (1000, 0, 1000));
    let again = Intent::of(&expired.booking_id, 2000);
    till.told(&again.succeeded()).await;
    let owed = till.read(&expired.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Expired, (3000, 0, 3000)), "not complete yet");
    till.told(&Intent::of(&expired.booking_id, 500).succeeded()).await;
    let firm = till.read(&expired.booking_id).await;
    assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (3500, 0, 0)));
    let retaken = "SELECT bool_or((data->>'seats_retaken')::boolean) FROM booking_events";
    assert!(till.service.scalar::<bool>(retaken).await);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_is_known_to_have_gone_back_makes_nothing_firm() {
    let till = Till::open(8).await;
    let (expired, pending) = (till.four().await, till.four().await);
    till.expire(&expired.booking_id).await;
    for (made, status) in [(expired, BookingStatus::Expired), (pending, BookingStatus::Pending)] {
        let paid = deposit(&made);
        till.told(&paid.refunded(3500)).await;
        till.told(&paid.succeeded()).await;
        let stands = till.read(&made.booking_id).await;
        assert_eq!((stands.status(), sums(&stands)), (status, (0, 3500, 0)));
        // Another one does.
        till.told(&deposit(&made).succeeded()).await;
        let firm = till.read(&made.booking_id).await;
        assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (3500, 3500, 0)));
    }
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_comes_after_the_start_is_owed_back_when_the_hold_is_looked_at() {
    let till = Till::open(8).await;
    let (late, cash_late) = (till.four().await, till.four().await);
    // Both have begun, and nobody has looked for holds that ran out yet.
    till.sql("UPDATE bookings SET starts_at = starts_at - interval '24000 hours'").await;
    till.told(&deposit(&late).succeeded()).await;
    till.record(cash(&cash_late.booking_id, 3500)).await.expect("recorded");
    till.sql("UPDATE bookings SET starts_at = starts_at + interval '24000 hours'").await;
    for made in [late, cash_late] {
        let waits = till.read(&made.booking_id).await;
        assert_eq!((waits.status(), sums(&waits)), (BookingStatus::Pending, (3500, 0, 0)));
        till.expire(&made.booking_id).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (3500, 0, 3500));
    }
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_comes_too_late_is_recorded_and_owed_back() {
    let till = Till::open(4).await;
    let gone = till.four().await;
    till.expire(&gone.booking_id).await;
    let (taken, closed, begun) =
        (till.four().await, "UPDATE slots SET state = 'CLOSED'", "UPDATE slots SET state = 'OPEN'");
    till.told(&deposit(&gone).succeeded()).await;
    let owed = till.read(&gone.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Expired, (3500, 0, 3500)), "somebody else has them");
    till.act(Change::Cancel, &taken.booking_id).await.expect("cancelled");
    till.sql(closed).await;
    till.told(&deposit(&gone).succeeded()).await;
    assert_eq!(sums(&till.read(&gone.booking_id).await), (7000, 0, 7000), "closed");
    till.sql(begun).await;
    till.sql("UPDATE slots SET starts_at = now() - interval '1 minute' WHERE starts_at = (SELECT starts_at FROM bookings LIMIT 1)")
        .await;
    till.told(&deposit(&gone).succeeded()).await;
    assert_eq!(sums(&till.read(&gone.booking_id).await), (10_500, 0, 10_500), "begun");
    assert_eq!(till.story(&gone.booking_id).await[1..], ["payment.recorded", "payment.refund_required"].repeat(3));
    let reasons =
        "SELECT string_agg(DISTINCT data->>'reason', ' ') FROM booking_events WHERE type LIKE '%refund_required%'";
    assert_eq!(till.service.scalar::<String>(reasons).await, "REFUND_REASON_SEATS_GONE");
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_for_a_cancelled_booking_is_owed_back() {
    let till = Till::open(4).await;
    let made = till.four().await;
    till.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let paid = deposit(&made);
    till.told(&paid.succeeded()).await;
    let owed = till.read(&made.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Cancelled, (3500, 0, 3500)));
    till.told(&paid.refunded(3500)).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (0, 3500, 0));
    let story = till.story(&made.booking_id).await;
    assert_eq!(story, ["booking.cancelled", "payment.recorded", "payment.refund_required", "payment.refunded"]);
    let reason = "SELECT data->>'reason' FROM booking_events WHERE type LIKE '%refund_required%'";
    assert_eq!(till.service.scalar::<String>(reason).await, "REFUND_REASON_BOOKING_CANCELLED");
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_twice_or_beyond_the_total_is_owed_back() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let (whole, again) = (Intent::of(&made.booking_id, 15_000), Intent::of(&made.booking_id, 14_000));
    till.told(&whole.succeeded()).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (15_000, 0, 1000));
    assert_eq!(
        till.story(&made.booking_id).await,
        ["payment.recorded", "booking.confirmed", "payment.refund_required"],
        "three links of one statement"
    );
    till.told(&again.succeeded()).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (29_000, 0, 15_000));
    till.told(&again.refunded(14_000)).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (15_000, 14_000, 1000));
    till.record(cash_back(&made.booking_id, 1500)).await.expect("more than was owed");
    assert_eq!(sums(&till.read(&made.booking_id).await), (13_500, 15_500, 0));
    let reasons =
        "SELECT string_agg(DISTINCT data->>'reason', ' ') FROM booking_events WHERE type LIKE '%refund_required%'";
    assert_eq!(till.service.scalar::<String>(reasons).await, "REFUND_REASON_OVERPAID");
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_cancelled_and_disputed_payments_do_not_count() {
    let till = Till::open(20).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.failed()).await;
    till.told(&paid.failed()).await;
    let waits = till.read(&made.booking_id).await;
    assert_eq!((waits.status(), sums(&waits)), (BookingStatus::Pending, (0, 0, 0)));
    till.told(&paid.succeeded()).await;
    till.told(&paid.disputed()).await;
    let disputed = till.read(&made.booking_id).await;
    assert_eq!((disputed.status(), sums(&disputed)), (BookingStatus::Confirmed, (0, 0, 0)), "it stays firm");
    let story = till.story(&made.booking_id).await;
    assert_eq!(story, ["payment.failed", "payment.recorded", "booking.confirmed", "payment.failed"]);
    let given_up = till.four().await;
    till.told(&deposit(&given_up).canceled()).await;
    assert_eq!(sums(&till.read(&given_up.booking_id).await), (0, 0, 0));
    let reasons = "SELECT string_agg(data->>'reason', ' ' ORDER BY stream_position, version)
                   FROM booking_events WHERE type LIKE '%payment.failed%'";
    let expected = "PAYMENT_FAILURE_REASON_DECLINED PAYMENT_FAILURE_REASON_DISPUTED PAYMENT_FAILURE_REASON_CANCELLED";
    assert_eq!(till.service.scalar::<String>(reasons).await, expected);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_falls_by_what_the_bank_takes_back() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let (one, other) = (Intent::of(&made.booking_id, 4000), Intent::of(&made.booking_id, 5000));
    till.told(&one.succeeded()).await;
    till.told(&other.succeeded()).await;
    till.told(&one.refunded(500)).await;
    let cancel = CancelBookingRequest {
        booking_id: made.booking_id.clone(),
        cancelled_by: CancellationInitiator::Venue.into(),
        ..Default::default()
    };
    till.service.clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    assert_eq!(sums(&till.read(&made.booking_id).await), (8500, 500, 8500));
    // What was given back stays so; the bank takes the rest.
    till.told(&one.disputed()).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (5000, 500, 5000));
    till.told(&one.refunded(900)).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (5000, 900, 5000));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_links_of_one_statement_stand_behind_the_link_before() {
    let till = Till::open(10).await;
    let made = till.four().await;
    // As if the transaction of the first had had a number of the far future.
    till.sql("UPDATE booking_events SET stream_position = '4000000000'").await;
    till.told(&deposit(&made).succeeded()).await;
    let in_order = "SELECT bool_and(stream_position = '4000000000') AND count(*) = 3 FROM booking_events";
    assert!(till.service.scalar::<bool>(in_order).await);
    // And where it has an ordinary one, both have that of their own transaction.
    let other = till.book(4).await;
    till.told(&deposit(&other).succeeded()).await;
    let same = "SELECT count(DISTINCT stream_position) = 2 FROM booking_events
                WHERE booking_id = (SELECT booking_id FROM bookings ORDER BY created_at DESC LIMIT 1)";
    assert!(till.service.scalar::<bool>(same).await);
}
