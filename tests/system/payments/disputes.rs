//! A disputed amount does not count as paid until the dispute is won; a refund that fails counts as paid again.

use teppan_shared::contract::booking::v1::{
    BookingStatus, CancelBookingRequest, CancellationInitiator, ListPaymentsRequest, Payment, PaymentStatus,
};
use teppan_tests::stripe::{Intent, later};

use super::{StripeFixture, cash_back, deposit, sums};

async fn payments(fixture: &StripeFixture, booking_id: &str) -> Vec<Payment> {
    let request = ListPaymentsRequest { booking_id: booking_id.to_owned(), ..Default::default() };
    fixture.service.clients.clone().payments.list_payments(request).await.expect("a list").into_inner().payments
}

async fn cancel(fixture: &StripeFixture, booking_id: &str, by: CancellationInitiator) {
    let request =
        CancelBookingRequest { booking_id: booking_id.to_owned(), cancelled_by: by.into(), ..Default::default() };
    fixture.service.clients.clone().bookings.cancel_booking(request).await.expect("cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_won_dispute_restores_the_paid_amount_and_the_refund_due() {
    let fixture = StripeFixture::with_seats(20).await;
    let (kept, cancelled) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    for made in [&kept, &cancelled] {
        let paid = deposit(made);
        fixture.send_and_wait(&paid.succeeded()).await;
        if made.booking_id == cancelled.booking_id {
            cancel(&fixture, &made.booking_id, CancellationInitiator::Venue).await;
            assert_eq!(sums(&fixture.read(&made.booking_id).await), (3500, 0, 3500));
        }
        fixture.send_and_wait(&paid.disputed()).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 0, 0));
        fixture.send_and_wait(&later(paid.dispute_won(), 60)).await;
    }
    assert_eq!(sums(&fixture.read(&kept.booking_id).await), (3500, 0, 0));
    assert_eq!(sums(&fixture.read(&cancelled.booking_id).await), (3500, 0, 3500), "the amount is owed again");
    let types = fixture.event_types(&cancelled.booking_id).await;
    assert_eq!(types[3..], ["payment.failed", "payment.recorded", "payment.refund_required"]);
    let cause =
        "SELECT data->>'cause' FROM booking_events WHERE type LIKE '%recorded%' ORDER BY stream_position DESC LIMIT 1";
    assert_eq!(fixture.service.scalar::<String>(cause).await, "PAYMENT_CAUSE_DISPUTE_WON");
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_after_a_won_dispute_settles_the_refund_due() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.succeeded()).await;
    cancel(&fixture, &made.booking_id, CancellationInitiator::Venue).await;
    fixture.send_and_wait(&paid.disputed()).await;
    fixture.send_and_wait(&later(paid.dispute_won(), 60)).await;
    fixture.send_and_wait(&paid.refunded(3500)).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 3500, 0), "the amount is not owed a second time");
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_dispute_reduces_the_paid_amount_by_its_own_amount() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.send_and_wait(&paid.dispute("charge.dispute.created", "1", 500, "needs_response")).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (3000, 0, 0));
    fixture.send_and_wait(&paid.dispute("charge.dispute.funds_withdrawn", "2", 700, "needs_response")).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (2300, 0, 0));
    let charge = payments(&fixture, &made.booking_id).await.remove(0);
    assert_eq!((charge.status(), charge.amount_cents, charge.disputed_cents), (PaymentStatus::Disputed, 3500, 1200));
    fixture.send_and_wait(&later(paid.dispute("charge.dispute.closed", "1", 500, "won"), 60)).await;
    fixture.send_and_wait(&later(paid.dispute("charge.dispute.closed", "2", 700, "lost"), 60)).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (2800, 0, 0));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reinstated_part_of_a_lost_dispute_counts_as_paid_again() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.send_and_wait(&paid.disputed()).await;
    let mut back = later(paid.dispute("charge.dispute.funds_reinstated", "1", 3500, "lost"), 60);
    back["data"]["object"]["balance_transactions"] =
        serde_json::json!([{"amount": -3500, "currency": "eur"}, {"amount": 1000, "currency": "eur"}]);
    fixture.send_and_wait(&back).await;
    fixture.send_and_wait(&later(paid.dispute_lost(), 61)).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (1000, 0, 0));
    // With funds in another currency the share of the charge is unknown.
    let other = fixture.pending_party_of_four().await;
    let paid = deposit(&other);
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.send_and_wait(&paid.disputed()).await;
    let mut foreign = back.clone();
    foreign["id"] = "evt_foreign".into();
    for (field, value) in [("id", format!("dp_1_{}", paid.id)), ("charge", paid.charge_id.clone())] {
        foreign["data"]["object"][field] = value.into();
    }
    foreign["data"]["object"]["payment_intent"] = paid.id.clone().into();
    foreign["data"]["object"]["currency"] = "usd".into();
    foreign["data"]["object"]["balance_transactions"] =
        serde_json::json!([{"amount": -3900, "currency": "usd"}, {"amount": 1100, "currency": "usd"}]);
    fixture.send_and_wait(&foreign).await;
    let (state, _, reason) = fixture.event_state("evt_foreign").await;
    assert_eq!((state.as_str(), reason.as_str()), ("SET_ASIDE", "DISPUTE_AMOUNT_UNKNOWN"));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refund_is_due_again() {
    let fixture = StripeFixture::with_seats(20).await;
    for reported_by_sum in [false, true] {
        let made = fixture.pending_party_of_four().await;
        let paid = deposit(&made);
        fixture.send_and_wait(&paid.succeeded()).await;
        cancel(&fixture, &made.booking_id, CancellationInitiator::Venue).await;
        fixture.send_and_wait(&if reported_by_sum { paid.refunded(3500) } else { paid.refund_made("1", 3500) }).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 3500, 0));
        fixture.send_and_wait(&paid.refund_failed("1", 3500)).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (3500, 0, 3500));
        let entries = payments(&fixture, &made.booking_id).await;
        assert_eq!(
            entries.iter().map(Payment::status).collect::<Vec<_>>(),
            [PaymentStatus::Succeeded, PaymentStatus::Failed]
        );
        // A second refund succeeds.
        fixture.send_and_wait(&paid.refund_made("2", 3500)).await;
        fixture.send_and_wait(&paid.refunded(3500)).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 3500, 0));
    }
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_refunds_can_fail_also_when_stripe_reported_only_their_sum() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.refunded(1500)).await;
    fixture.send_and_wait(&paid.refund("charge.refund.updated", "1", 400, "failed")).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (2400, 1100, 0));
    let entries = payments(&fixture, &made.booking_id).await;
    let mut refunds: Vec<_> = entries[1..].iter().map(|it| (it.amount_cents, it.status())).collect();
    refunds.sort_by_key(|(cents, _)| *cents);
    assert_eq!(refunds, [(400, PaymentStatus::Failed), (1100, PaymentStatus::Succeeded)]);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_does_not_change_what_the_venue_keeps_after_a_cancellation() {
    let fixture = StripeFixture::with_seats(20).await;
    fixture.sql("UPDATE venues SET full_refund_hours = 8760, late_refund_percent = 50").await;
    let mut results = Vec::new();
    for disputed_first in [true, false] {
        let made = fixture.pending_party_of_four().await;
        let paid = deposit(&made);
        fixture.send_and_wait(&paid.succeeded()).await;
        if disputed_first {
            fixture.send_and_wait(&paid.disputed()).await;
        }
        cancel(&fixture, &made.booking_id, CancellationInitiator::Customer).await;
        fixture.send_and_wait(&paid.disputed()).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 0, 0));
        fixture.send_and_wait(&later(paid.dispute_won(), 60)).await;
        results.push(sums(&fixture.read(&made.booking_id).await));
    }
    assert_eq!(results, [(3500, 0, 1750); 2]);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_won_dispute_confirms_the_booking_when_it_completes_the_deposit() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let first = Intent::of(&made.booking_id, 2000);
    fixture.send_and_wait(&first.succeeded()).await;
    fixture.send_and_wait(&first.disputed()).await;
    fixture.send_and_wait(&Intent::of(&made.booking_id, 1500).succeeded()).await;
    assert_eq!(fixture.read(&made.booking_id).await.status(), BookingStatus::Pending);
    fixture.send_and_wait(&later(first.dispute_won(), 60)).await;
    let firm = fixture.read(&made.booking_id).await;
    assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (3500, 0, 0)));
    // An amount that was refunded in cash is not subtracted a second time.
    fixture.record(cash_back(&made.booking_id, 3000)).await.expect("given back in cash");
    let dispute = later(first.dispute("charge.dispute.created", "2", 2000, "needs_response"), 90);
    fixture.send_and_wait(&dispute).await;
    let (state, _, reason) = fixture.event_state(dispute["id"].as_str().expect("an id")).await;
    assert_eq!((state.as_str(), reason.as_str()), ("WAITING", "REFUND_EXCEEDS_PAID"));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refund_of_an_expired_booking_is_due_again_and_retakes_no_seats() {
    let fixture = StripeFixture::with_seats(4).await;
    let made = fixture.pending_party_of_four().await;
    fixture.expire_with_worker(&made.booking_id).await;
    let taken = fixture.pending_party_of_four().await;
    let late = Intent::of(&made.booking_id, 3500);
    fixture.send_and_wait(&late.succeeded()).await;
    fixture.send_and_wait(&later(late.refunded(3500), 60)).await;
    let refunded = fixture.read(&made.booking_id).await;
    assert_eq!((refunded.status(), sums(&refunded)), (BookingStatus::Expired, (0, 3500, 0)));
    // The slot has free seats again when the refund fails.
    cancel(&fixture, &taken.booking_id, CancellationInitiator::Customer).await;
    fixture.send_and_wait(&later(late.refund_failed("1", 3500), 120)).await;
    let owed = fixture.read(&made.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Expired, (3500, 0, 3500)));
    fixture.assert_sums_and_audit().await;
}
