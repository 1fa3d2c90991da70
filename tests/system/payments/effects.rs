use futures::future::join_all;
use teppan_shared::contract::booking::v1::{BookingStatus, CancelBookingRequest, CancellationInitiator};
use teppan_tests::stripe::Intent;

use super::{StripeFixture, cash, cash_back, deposit, sums};
use crate::changes::Change;

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_deposit_confirms_the_booking_once_however_often_stripe_reports_it() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    let (succeeded, session) = (paid.succeeded(), paid.session_completed());
    join_all((0..40).map(|n| fixture.send_event(if n % 2 == 0 { &succeeded } else { &session }))).await;
    fixture.all_events_settled().await;

    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 2);
    let firm = fixture.read(&made.booking_id).await;
    assert_eq!((firm.status(), firm.version, sums(&firm)), (BookingStatus::Confirmed, 3, (3500, 0, 0)));
    assert!(firm.confirmed_at.is_some() && firm.hold_expires_at.is_none());
    assert_eq!(fixture.event_types(&made.booking_id).await, ["payment.recorded", "booking.confirmed"]);
    let cause = "SELECT data->>'cause' || ' ' || (data->>'seats_retaken') FROM booking_events WHERE version = 3";
    assert_eq!(fixture.service.scalar::<String>(cause).await, "CONFIRMATION_CAUSE_DEPOSIT_PAID false");
    // conversation-service gets one message, the confirmation, as after ConfirmBooking.
    let messages = "SELECT string_agg(destination || version, ' ') FROM outbox_messages";
    assert_eq!(fixture.service.scalar::<String>(messages).await, "conversation-service3");
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_payments_confirm_the_booking_when_they_cover_the_deposit() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let part = fixture.record(cash(&made.booking_id, 2000)).await.expect("recorded").booking.expect("the booking");
    assert_eq!((part.status(), sums(&part)), (BookingStatus::Pending, (2000, 0, 0)));
    assert!(part.hold_expires_at.is_some());
    fixture.send_and_wait(&Intent::of(&made.booking_id, 1500).succeeded()).await;
    assert_eq!(fixture.read(&made.booking_id).await.status(), BookingStatus::Confirmed);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_deposit_keeps_or_retakes_seats_that_are_still_free() {
    let fixture = StripeFixture::with_seats(4).await;
    // The hold has run out, but no worker has expired it yet.
    let late = fixture.pending_party_of_four().await;
    fixture.expire_hold(&late.booking_id).await;
    fixture.send_and_wait(&deposit(&late).succeeded()).await;
    assert_eq!(fixture.read(&late.booking_id).await.status(), BookingStatus::Confirmed);
    fixture.act(Change::Cancel, &late.booking_id).await.expect("cancelled");

    // The expired hold has released its seats, and they are still free.
    let expired = fixture.pending_party_of_four().await;
    fixture.record(cash(&expired.booking_id, 1000)).await.expect("a part");
    fixture.expire_with_worker(&expired.booking_id).await;
    assert_eq!(sums(&fixture.read(&expired.booking_id).await), (1000, 0, 1000));
    let again = Intent::of(&expired.booking_id, 2000);
    fixture.send_and_wait(&again.succeeded()).await;
    let owed = fixture.read(&expired.booking_id).await;
    assert_eq!(
        (owed.status(), sums(&owed)),
        (BookingStatus::Expired, (3000, 0, 3000)),
        "the deposit is not complete yet"
    );
    fixture.send_and_wait(&Intent::of(&expired.booking_id, 500).succeeded()).await;
    let firm = fixture.read(&expired.booking_id).await;
    assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (3500, 0, 0)));
    let retaken = "SELECT bool_or((data->>'seats_retaken')::boolean) FROM booking_events";
    assert!(fixture.service.scalar::<bool>(retaken).await);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_was_already_refunded_confirms_nothing() {
    let fixture = StripeFixture::with_seats(8).await;
    let (expired, pending) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    fixture.expire_with_worker(&expired.booking_id).await;
    for (made, status) in [(expired, BookingStatus::Expired), (pending, BookingStatus::Pending)] {
        let paid = deposit(&made);
        fixture.send_and_wait(&paid.refunded(3500)).await;
        fixture.send_and_wait(&paid.succeeded()).await;
        let stands = fixture.read(&made.booking_id).await;
        assert_eq!((stands.status(), sums(&stands)), (status, (0, 3500, 0)));
        // Another payment confirms the booking.
        fixture.send_and_wait(&deposit(&made).succeeded()).await;
        let firm = fixture.read(&made.booking_id).await;
        assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (3500, 3500, 0)));
    }
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_paid_after_the_start_is_owed_back_when_the_hold_expires() {
    let fixture = StripeFixture::with_seats(8).await;
    let (late, cash_late) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    // Both bookings have started, and no worker has expired their holds yet.
    fixture.sql("UPDATE bookings SET starts_at = starts_at - interval '24000 hours'").await;
    fixture.send_and_wait(&deposit(&late).succeeded()).await;
    fixture.record(cash(&cash_late.booking_id, 3500)).await.expect("recorded");
    fixture.sql("UPDATE bookings SET starts_at = starts_at + interval '24000 hours'").await;
    for made in [late, cash_late] {
        let waits = fixture.read(&made.booking_id).await;
        assert_eq!((waits.status(), sums(&waits)), (BookingStatus::Pending, (3500, 0, 0)));
        fixture.expire_with_worker(&made.booking_id).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (3500, 0, 3500));
    }
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_whose_seats_cannot_be_retaken_is_recorded_and_owed_back() {
    let fixture = StripeFixture::with_seats(4).await;
    let gone = fixture.pending_party_of_four().await;
    fixture.expire_with_worker(&gone.booking_id).await;
    let (taken, closed, begun) =
        (fixture.pending_party_of_four().await, "UPDATE slots SET state = 'CLOSED'", "UPDATE slots SET state = 'OPEN'");
    fixture.send_and_wait(&deposit(&gone).succeeded()).await;
    let owed = fixture.read(&gone.booking_id).await;
    assert_eq!(
        (owed.status(), sums(&owed)),
        (BookingStatus::Expired, (3500, 0, 3500)),
        "another booking has the seats"
    );
    fixture.act(Change::Cancel, &taken.booking_id).await.expect("cancelled");
    fixture.sql(closed).await;
    fixture.send_and_wait(&deposit(&gone).succeeded()).await;
    assert_eq!(sums(&fixture.read(&gone.booking_id).await), (7000, 0, 7000), "closed");
    fixture.sql(begun).await;
    fixture.sql("UPDATE slots SET starts_at = now() - interval '1 minute' WHERE starts_at = (SELECT starts_at FROM bookings LIMIT 1)")
        .await;
    fixture.send_and_wait(&deposit(&gone).succeeded()).await;
    assert_eq!(sums(&fixture.read(&gone.booking_id).await), (10_500, 0, 10_500), "begun");
    assert_eq!(
        fixture.event_types(&gone.booking_id).await[1..],
        ["payment.recorded", "payment.refund_required"].repeat(3)
    );
    let reasons =
        "SELECT string_agg(DISTINCT data->>'reason', ' ') FROM booking_events WHERE type LIKE '%refund_required%'";
    assert_eq!(fixture.service.scalar::<String>(reasons).await, "REFUND_REASON_SEATS_GONE");
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_for_a_cancelled_booking_is_owed_back() {
    let fixture = StripeFixture::with_seats(4).await;
    let made = fixture.pending_party_of_four().await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.succeeded()).await;
    let owed = fixture.read(&made.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Cancelled, (3500, 0, 3500)));
    fixture.send_and_wait(&paid.refunded(3500)).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 3500, 0));
    let types = fixture.event_types(&made.booking_id).await;
    assert_eq!(types, ["booking.cancelled", "payment.recorded", "payment.refund_required", "payment.refunded"]);
    let reason = "SELECT data->>'reason' FROM booking_events WHERE type LIKE '%refund_required%'";
    assert_eq!(fixture.service.scalar::<String>(reason).await, "REFUND_REASON_BOOKING_CANCELLED");
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_paid_beyond_the_total_is_owed_back() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let (whole, again) = (Intent::of(&made.booking_id, 15_000), Intent::of(&made.booking_id, 14_000));
    fixture.send_and_wait(&whole.succeeded()).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (15_000, 0, 1000));
    assert_eq!(
        fixture.event_types(&made.booking_id).await,
        ["payment.recorded", "booking.confirmed", "payment.refund_required"],
        "one statement appends three events"
    );
    fixture.send_and_wait(&again.succeeded()).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (29_000, 0, 15_000));
    fixture.send_and_wait(&again.refunded(14_000)).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (15_000, 14_000, 1000));
    fixture.record(cash_back(&made.booking_id, 1500)).await.expect("a refund of more than was owed is recorded");
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (13_500, 15_500, 0));
    let reasons =
        "SELECT string_agg(DISTINCT data->>'reason', ' ') FROM booking_events WHERE type LIKE '%refund_required%'";
    assert_eq!(fixture.service.scalar::<String>(reasons).await, "REFUND_REASON_OVERPAID");
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_cancelled_and_disputed_payments_do_not_count() {
    let fixture = StripeFixture::with_seats(20).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.failed()).await;
    fixture.send_and_wait(&paid.failed()).await;
    let waits = fixture.read(&made.booking_id).await;
    assert_eq!((waits.status(), sums(&waits)), (BookingStatus::Pending, (0, 0, 0)));
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.send_and_wait(&paid.disputed()).await;
    let disputed = fixture.read(&made.booking_id).await;
    assert_eq!(
        (disputed.status(), sums(&disputed)),
        (BookingStatus::Confirmed, (0, 0, 0)),
        "the booking stays confirmed"
    );
    let types = fixture.event_types(&made.booking_id).await;
    assert_eq!(types, ["payment.failed", "payment.recorded", "booking.confirmed", "payment.failed"]);
    let given_up = fixture.pending_party_of_four().await;
    fixture.send_and_wait(&deposit(&given_up).canceled()).await;
    assert_eq!(sums(&fixture.read(&given_up.booking_id).await), (0, 0, 0));
    let reasons = "SELECT string_agg(data->>'reason', ' ' ORDER BY stream_position, version)
                   FROM booking_events WHERE type LIKE '%payment.failed%'";
    let expected = "PAYMENT_FAILURE_REASON_DECLINED PAYMENT_FAILURE_REASON_DISPUTED PAYMENT_FAILURE_REASON_CANCELLED";
    assert_eq!(fixture.service.scalar::<String>(reasons).await, expected);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_reduces_the_refund_due() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let (one, other) = (Intent::of(&made.booking_id, 4000), Intent::of(&made.booking_id, 5000));
    fixture.send_and_wait(&one.succeeded()).await;
    fixture.send_and_wait(&other.succeeded()).await;
    fixture.send_and_wait(&one.refunded(500)).await;
    let cancel = CancelBookingRequest {
        booking_id: made.booking_id.clone(),
        cancelled_by: CancellationInitiator::Venue.into(),
        ..Default::default()
    };
    fixture.service.clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (8500, 500, 8500));
    // The refunded part stays refunded; the dispute takes the rest.
    fixture.send_and_wait(&one.disputed()).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (5000, 500, 5000));
    fixture.send_and_wait(&one.refunded(900)).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (5000, 900, 5000));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_events_of_one_statement_follow_the_bookings_previous_event_in_the_stream() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    // As if the transaction of the first event had a much higher number.
    fixture.sql("UPDATE booking_events SET stream_position = '4000000000'").await;
    fixture.send_and_wait(&deposit(&made).succeeded()).await;
    let in_order = "SELECT bool_and(stream_position = '4000000000') AND count(*) = 3 FROM booking_events";
    assert!(fixture.service.scalar::<bool>(in_order).await);
    // When the first event has an ordinary stream position, the new events have that of their own transaction.
    let other = fixture.book(4).await;
    fixture.send_and_wait(&deposit(&other).succeeded()).await;
    let same = "SELECT count(DISTINCT stream_position) = 2 FROM booking_events
                WHERE booking_id = (SELECT booking_id FROM bookings ORDER BY created_at DESC LIMIT 1)";
    assert!(fixture.service.scalar::<bool>(same).await);
}
