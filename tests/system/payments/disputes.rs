//! A disputed amount does not count as paid until the dispute is won; a refund that fails counts as paid again.

use teppan_shared::contract::booking::v1::{
    BookingStatus, CancelBookingRequest, CancellationInitiator, ListPaymentsRequest, Payment, PaymentStatus,
};
use teppan_tests::stripe::{Intent, later};

use super::{Till, cash_back, deposit, sums};

async fn payments(till: &Till, booking_id: &str) -> Vec<Payment> {
    let request = ListPaymentsRequest { booking_id: booking_id.to_owned(), ..Default::default() };
    till.service.clients.clone().payments.list_payments(request).await.expect("a list").into_inner().payments
}

async fn cancel(till: &Till, booking_id: &str, by: CancellationInitiator) {
    let request =
        CancelBookingRequest { booking_id: booking_id.to_owned(), cancelled_by: by.into(), ..Default::default() };
    till.service.clients.clone().bookings.cancel_booking(request).await.expect("cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_is_won_restores_what_was_paid_and_what_is_owed() {
    let till = Till::open(20).await;
    let (kept, cancelled) = (till.four().await, till.four().await);
    for made in [&kept, &cancelled] {
        let paid = deposit(made);
        till.told(&paid.succeeded()).await;
        if made.booking_id == cancelled.booking_id {
            cancel(&till, &made.booking_id, CancellationInitiator::Venue).await;
            assert_eq!(sums(&till.read(&made.booking_id).await), (3500, 0, 3500));
        }
        till.told(&paid.disputed()).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (0, 0, 0));
        till.told(&later(paid.dispute_won(), 60)).await;
    }
    assert_eq!(sums(&till.read(&kept.booking_id).await), (3500, 0, 0));
    assert_eq!(sums(&till.read(&cancelled.booking_id).await), (3500, 0, 3500), "it is owed again");
    let story = till.story(&cancelled.booking_id).await;
    assert_eq!(story[3..], ["payment.failed", "payment.recorded", "payment.refund_required"]);
    let cause =
        "SELECT data->>'cause' FROM booking_events WHERE type LIKE '%recorded%' ORDER BY stream_position DESC LIMIT 1";
    assert_eq!(till.service.scalar::<String>(cause).await, "PAYMENT_CAUSE_DISPUTE_WON");
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_a_charge_that_had_been_disputed_settles_what_is_owed() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.succeeded()).await;
    cancel(&till, &made.booking_id, CancellationInitiator::Venue).await;
    till.told(&paid.disputed()).await;
    till.told(&later(paid.dispute_won(), 60)).await;
    till.told(&paid.refunded(3500)).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (0, 3500, 0), "it is not owed a second time");
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_disputed_takes_a_part() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.succeeded()).await;
    till.told(&paid.dispute("charge.dispute.created", "1", 500, "needs_response")).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (3000, 0, 0));
    till.told(&paid.dispute("charge.dispute.funds_withdrawn", "2", 700, "needs_response")).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (2300, 0, 0));
    let charge = payments(&till, &made.booking_id).await.remove(0);
    assert_eq!((charge.status(), charge.amount_cents, charge.disputed_cents), (PaymentStatus::Disputed, 3500, 1200));
    till.told(&later(paid.dispute("charge.dispute.closed", "1", 500, "won"), 60)).await;
    till.told(&later(paid.dispute("charge.dispute.closed", "2", 700, "lost"), 60)).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (2800, 0, 0));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_lost_dispute_that_came_back_counts_again() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.succeeded()).await;
    till.told(&paid.disputed()).await;
    let mut back = later(paid.dispute("charge.dispute.funds_reinstated", "1", 3500, "lost"), 60);
    back["data"]["object"]["balance_transactions"] =
        serde_json::json!([{"amount": -3500, "currency": "eur"}, {"amount": 1000, "currency": "eur"}]);
    till.told(&back).await;
    till.told(&later(paid.dispute_lost(), 61)).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (1000, 0, 0));
    // In another currency it is unknown how much of the charge that is.
    let other = till.four().await;
    let paid = deposit(&other);
    till.told(&paid.succeeded()).await;
    till.told(&paid.disputed()).await;
    let mut foreign = back.clone();
    foreign["id"] = "evt_foreign".into();
    for (field, value) in [("id", format!("dp_1_{}", paid.id)), ("charge", paid.charge_id.clone())] {
        foreign["data"]["object"][field] = value.into();
    }
    foreign["data"]["object"]["payment_intent"] = paid.id.clone().into();
    foreign["data"]["object"]["currency"] = "usd".into();
    foreign["data"]["object"]["balance_transactions"] =
        serde_json::json!([{"amount": -3900, "currency": "usd"}, {"amount": 1100, "currency": "usd"}]);
    till.told(&foreign).await;
    let (state, _, reason) = till.state_of("evt_foreign").await;
    assert_eq!((state.as_str(), reason.as_str()), ("SET_ASIDE", "DISPUTE_AMOUNT_UNKNOWN"));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_brings_the_debt_back() {
    let till = Till::open(20).await;
    for told_by_sum in [false, true] {
        let made = till.four().await;
        let paid = deposit(&made);
        till.told(&paid.succeeded()).await;
        cancel(&till, &made.booking_id, CancellationInitiator::Venue).await;
        till.told(&if told_by_sum { paid.refunded(3500) } else { paid.refund_made("1", 3500) }).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (0, 3500, 0));
        till.told(&paid.refund_failed("1", 3500)).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (3500, 0, 3500));
        let entries = payments(&till, &made.booking_id).await;
        assert_eq!(
            entries.iter().map(Payment::status).collect::<Vec<_>>(),
            [PaymentStatus::Succeeded, PaymentStatus::Failed]
        );
        // Tried again, and it arrives.
        till.told(&paid.refund_made("2", 3500)).await;
        till.told(&paid.refunded(3500)).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (0, 3500, 0));
    }
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_refunds_may_fail_also_when_stripe_reported_only_their_sum() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.refunded(1500)).await;
    till.told(&paid.refund("charge.refund.updated", "1", 400, "failed")).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (2400, 1100, 0));
    let entries = payments(&till, &made.booking_id).await;
    let mut refunds: Vec<_> = entries[1..].iter().map(|it| (it.amount_cents, it.status())).collect();
    refunds.sort_by_key(|(cents, _)| *cents);
    assert_eq!(refunds, [(400, PaymentStatus::Failed), (1100, PaymentStatus::Succeeded)]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_venue_keeps_does_not_depend_on_whether_the_charge_is_disputed_meanwhile() {
    let till = Till::open(20).await;
    till.sql("UPDATE venues SET full_refund_hours = 8760, late_refund_percent = 50").await;
    let mut ends = Vec::new();
    for disputed_first in [true, false] {
        let made = till.four().await;
        let paid = deposit(&made);
        till.told(&paid.succeeded()).await;
        if disputed_first {
            till.told(&paid.disputed()).await;
        }
        cancel(&till, &made.booking_id, CancellationInitiator::Customer).await;
        till.told(&paid.disputed()).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (0, 0, 0));
        till.told(&later(paid.dispute_won(), 60)).await;
        ends.push(sums(&till.read(&made.booking_id).await));
    }
    assert_eq!(ends, [(3500, 0, 1750); 2]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_back_confirms_what_it_completes() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let first = Intent::of(&made.booking_id, 2000);
    till.told(&first.succeeded()).await;
    till.told(&first.disputed()).await;
    till.told(&Intent::of(&made.booking_id, 1500).succeeded()).await;
    assert_eq!(till.read(&made.booking_id).await.status(), BookingStatus::Pending);
    till.told(&later(first.dispute_won(), 60)).await;
    let firm = till.read(&made.booking_id).await;
    assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (3500, 0, 0)));
    // What was given back in cash is not taken away a second time.
    till.record(cash_back(&made.booking_id, 3000)).await.expect("given back in cash");
    let dispute = later(first.dispute("charge.dispute.created", "2", 2000, "needs_response"), 90);
    till.told(&dispute).await;
    let (state, _, reason) = till.state_of(dispute["id"].as_str().expect("an id")).await;
    assert_eq!((state.as_str(), reason.as_str()), ("WAITING", "REFUND_EXCEEDS_PAID"));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_back_to_an_expired_booking_is_owed_and_takes_no_seats_again() {
    let till = Till::open(4).await;
    let made = till.four().await;
    till.expire(&made.booking_id).await;
    let taken = till.four().await;
    let late = Intent::of(&made.booking_id, 3500);
    till.told(&late.succeeded()).await;
    till.told(&later(late.refunded(3500), 60)).await;
    let refunded = till.read(&made.booking_id).await;
    assert_eq!((refunded.status(), sums(&refunded)), (BookingStatus::Expired, (0, 3500, 0)));
    // Now there is room, and the refund fails.
    cancel(&till, &taken.booking_id, CancellationInitiator::Customer).await;
    till.told(&later(late.refund_failed("1", 3500), 120)).await;
    let owed = till.read(&made.booking_id).await;
    assert_eq!((owed.status(), sums(&owed)), (BookingStatus::Expired, (3500, 0, 3500)));
    till.assert_counted().await;
}
