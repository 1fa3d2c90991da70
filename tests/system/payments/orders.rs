//! The order and the number of Stripe's events about a payment do not matter.

use futures::{StreamExt as _, stream};
use serde_json::Value;
use sqlx::Row as _;
use teppan_shared::contract::booking::v1::ListPaymentsRequest;
use teppan_tests::{
    harness,
    stripe::{Intent, later},
};
use uuid::Uuid;

use super::{StripeFixture, deposit};

/// Every order of these events.
fn permutations(events: &[Value]) -> Vec<Vec<Value>> {
    let [first, rest @ ..] = events else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for position in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(position, first.clone());
            all.push(longer);
        }
    }
    all
}

/// Sends the same events in every order, each order to a booking of its own, and returns the distinct results.
async fn results_of_every_order(fixture: &StripeFixture, events_of: impl Fn(&Intent) -> Vec<Value>) -> Vec<String> {
    let count = permutations(&events_of(&Intent::of("", 1))).len();
    let deliveries = stream::iter(0..count).map(|n| {
        let events_of = &events_of;
        async move {
            let made = fixture.pending_party_of_four().await;
            let order = permutations(&events_of(&deposit(&made))).swap_remove(n);
            for event in &order {
                fixture.send_and_wait(event).await;
            }
            // Stripe sends an event again when it got no answer.
            fixture.send_and_wait(&order[0]).await;
            made.booking_id
        }
    });
    let bookings: Vec<String> = deliveries.buffer_unordered(12).collect().await;
    fixture.all_events_settled().await;
    let mut results = Vec::new();
    let mut connection = harness::connect(&fixture.service.url).await;
    for booking_id in bookings {
        let result = sqlx::query(
            "SELECT concat_ws(' ', b.status, 'paid', paid_cents, 'refunded', refunded_cents, 'due', refund_due_cents, (
                 SELECT string_agg(concat_ws(' ', kind, p.status, cents), ', ' ORDER BY kind, p.status)
                 FROM (SELECT kind, status, sum(amount_cents) AS cents FROM payments WHERE booking_id = $1
                       GROUP BY kind, status) AS p))
             FROM bookings b WHERE booking_id = $1",
        )
        .bind(Uuid::parse_str(&booking_id).expect("a UUID"))
        .fetch_one(&mut connection)
        .await
        .expect("a result");
        results.push(result.get::<String, _>(0));
    }
    assert_eq!(results.len(), count);
    results.sort();
    results.dedup();
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_payment_have_the_same_result_in_every_order() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of =
        |it: &Intent| vec![it.failed(), it.session_completed(), it.succeeded(), it.refunded(1000), it.refunded(2500)];
    let expected = "CONFIRMED paid 1000 refunded 2500 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 2500";
    assert_eq!(results_of_every_order(&fixture, events_of).await, [expected]);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_refunded_payment_have_the_same_sums_in_every_order() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of = |it: &Intent| vec![it.succeeded(), it.session_completed(), it.refunded(1000), it.refunded(3500)];
    // The order decides only whether the booking was confirmed before the refund.
    let sums = "paid 0 refunded 3500 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 3500";
    assert_eq!(
        results_of_every_order(&fixture, events_of).await,
        [format!("CONFIRMED {sums}"), format!("PENDING {sums}")]
    );
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_disputed_payment_have_the_same_result_in_every_order() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of = |it: &Intent| vec![it.failed(), it.canceled(), it.succeeded(), it.refunded(1000), it.disputed()];
    let expected = "CONFIRMED paid 0 refunded 1000 due 0 CHARGE DISPUTED 3500, REFUND SUCCEEDED 1000";
    assert_eq!(results_of_every_order(&fixture, events_of).await, [expected]);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_won_dispute_restores_the_paid_amount_in_every_order_of_events() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of =
        |it: &Intent| vec![it.succeeded(), it.disputed(), later(it.dispute_won(), 60), it.refund_made("1", 1000)];
    let expected = "CONFIRMED paid 2500 refunded 1000 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 1000";
    assert_eq!(results_of_every_order(&fixture, events_of).await, [expected]);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refund_counts_as_paid_again_in_every_order_of_events() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of =
        |it: &Intent| vec![it.succeeded(), it.refunded(1000), it.refund_made("1", 1000), it.refund_failed("1", 1000)];
    let sums = "CONFIRMED paid 3500 refunded 0 due 0 CHARGE SUCCEEDED 3500";
    for result in results_of_every_order(&fixture, events_of).await {
        // The order decides whether the refund was ever recorded as made.
        assert!(result == sums || result == format!("{sums}, REFUND FAILED 1000"), "{result}");
    }
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_processing_payment_have_the_same_result_in_every_order() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of =
        |it: &Intent| vec![it.processing(), later(it.failed(), 10), later(it.succeeded(), 30), it.refunded(500)];
    let expected = "CONFIRMED paid 3000 refunded 500 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 500";
    assert_eq!(results_of_every_order(&fixture, events_of).await, [expected]);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_payment_counts_nothing_in_every_order_of_events() {
    let fixture = StripeFixture::with_seats(1000).await;
    let events_of = |it: &Intent| vec![it.failed(), it.canceled(), it.failed()];
    assert_eq!(
        results_of_every_order(&fixture, events_of).await,
        ["PENDING paid 0 refunded 0 due 0 CHARGE CANCELLED 3500"]
    );
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_has_the_time_of_its_earliest_event_in_every_order_of_events() {
    let fixture = StripeFixture::with_seats(1000).await;
    for reversed in [false, true] {
        let paid = deposit(&fixture.pending_party_of_four().await);
        let mut reports = vec![paid.succeeded(), later(paid.session_completed(), 60)];
        let first = reports[0]["created"].as_i64().expect("a time");
        if reversed {
            reports.reverse();
        }
        for event in &reports {
            fixture.send_and_wait(event).await;
        }
        fixture.all_events_settled().await;
        let request = ListPaymentsRequest { booking_id: paid.booking_id.clone(), ..Default::default() };
        let payments =
            fixture.service.clients.clone().payments.list_payments(request).await.expect("a list").into_inner();
        let occurred: Vec<_> =
            payments.payments.iter().map(|it| it.occurred_at.as_ref().expect("a time").seconds).collect();
        assert_eq!(occurred, [first], "reversed: {reversed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_names_the_booking_for_an_intent_that_does_not() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    let nameless = |mut event: Value| {
        event["data"]["object"]["metadata"] = serde_json::json!({});
        event
    };
    // The refund names only its charge, as in the oldest versions of Stripe's API.
    let mut refunded = nameless(paid.refunded(500));
    refunded["data"]["object"]["payment_intent"] = Value::Null;
    for event in [refunded, nameless(paid.succeeded()), paid.session_completed()] {
        fixture.send_and_wait(&event).await;
    }
    fixture.all_events_settled().await;
    assert_eq!(super::sums(&fixture.read(&made.booking_id).await), (3000, 500, 0));
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM payments").await, 2);
    fixture.assert_sums_and_audit().await;
}
