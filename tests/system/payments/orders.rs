//! It does not matter in which order, or how often, Stripe tells what happened to a payment.

use futures::{StreamExt as _, stream};
use serde_json::Value;
use sqlx::Row as _;
use teppan_shared::contract::booking::v1::ListPaymentsRequest;
use teppan_tests::{
    harness,
    stripe::{Intent, later},
};
use uuid::Uuid;

use super::{Till, deposit};

/// Every order of these.
fn permutations(events: &[Value]) -> Vec<Vec<Value>> {
    let [first, rest @ ..] = events else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, first.clone());
            all.push(longer);
        }
    }
    all
}

/// Tells the same story in every order, to a booking of its own each, and returns the ends it comes to.
async fn ends(till: &Till, story: impl Fn(&Intent) -> Vec<Value>) -> Vec<String> {
    let count = permutations(&story(&Intent::of("", 1))).len();
    let told = stream::iter(0..count).map(|n| {
        let story = &story;
        async move {
            let made = till.four().await;
            let order = permutations(&story(&deposit(&made))).swap_remove(n);
            for event in &order {
                till.told(event).await;
            }
            // And once more, as Stripe does when it is in doubt.
            till.told(&order[0]).await;
            made.booking_id
        }
    });
    let bookings: Vec<String> = told.buffer_unordered(12).collect().await;
    till.settled().await;
    let mut ends = Vec::new();
    let mut connection = harness::connect(&till.service.url).await;
    for booking_id in bookings {
        let end = sqlx::query(
            "SELECT concat_ws(' ', b.status, 'paid', paid_cents, 'refunded', refunded_cents, 'due', refund_due_cents, (
                 SELECT string_agg(concat_ws(' ', kind, p.status, cents), ', ' ORDER BY kind, p.status)
                 FROM (SELECT kind, status, sum(amount_cents) AS cents FROM payments WHERE booking_id = $1
                       GROUP BY kind, status) AS p))
             FROM bookings b WHERE booking_id = $1",
        )
        .bind(Uuid::parse_str(&booking_id).expect("a UUID"))
        .fetch_one(&mut connection)
        .await
        .expect("an end");
        ends.push(end.get::<String, _>(0));
    }
    assert_eq!(ends.len(), count);
    ends.sort();
    ends.dedup();
    ends
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_a_payment_comes_to_the_same_end() {
    let till = Till::open(1000).await;
    let story =
        |it: &Intent| vec![it.failed(), it.session_completed(), it.succeeded(), it.refunded(1000), it.refunded(2500)];
    let expected = "CONFIRMED paid 1000 refunded 2500 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 2500";
    assert_eq!(ends(&till, story).await, [expected]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_the_sums_of_a_payment_that_went_back_are_the_same() {
    let till = Till::open(1000).await;
    let story = |it: &Intent| vec![it.succeeded(), it.session_completed(), it.refunded(1000), it.refunded(3500)];
    // Only whether the booking had become firm before everything went back depends on what came first.
    let sums = "paid 0 refunded 3500 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 3500";
    assert_eq!(ends(&till, story).await, [format!("CONFIRMED {sums}"), format!("PENDING {sums}")]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_a_disputed_payment_comes_to_the_same_end() {
    let till = Till::open(1000).await;
    let story = |it: &Intent| vec![it.failed(), it.canceled(), it.succeeded(), it.refunded(1000), it.disputed()];
    let expected = "CONFIRMED paid 0 refunded 1000 due 0 CHARGE DISPUTED 3500, REFUND SUCCEEDED 1000";
    assert_eq!(ends(&till, story).await, [expected]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_a_dispute_that_is_won_restores_what_was_paid() {
    let till = Till::open(1000).await;
    let story =
        |it: &Intent| vec![it.succeeded(), it.disputed(), later(it.dispute_won(), 60), it.refund_made("1", 1000)];
    let expected = "CONFIRMED paid 2500 refunded 1000 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 1000";
    assert_eq!(ends(&till, story).await, [expected]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_a_refund_that_failed_counts_again() {
    let till = Till::open(1000).await;
    let story =
        |it: &Intent| vec![it.succeeded(), it.refunded(1000), it.refund_made("1", 1000), it.refund_failed("1", 1000)];
    let sums = "CONFIRMED paid 3500 refunded 0 due 0 CHARGE SUCCEEDED 3500";
    for end in ends(&till, story).await {
        // Whether the refund was ever recorded as made depends on what came first.
        assert!(end == sums || end == format!("{sums}, REFUND FAILED 1000"), "{end}");
    }
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_a_payment_that_was_processed_comes_to_the_same_end() {
    let till = Till::open(1000).await;
    let story =
        |it: &Intent| vec![it.processing(), later(it.failed(), 10), later(it.succeeded(), 30), it.refunded(500)];
    let expected = "CONFIRMED paid 3000 refunded 500 due 0 CHARGE SUCCEEDED 3500, REFUND SUCCEEDED 500";
    assert_eq!(ends(&till, story).await, [expected]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_an_attempt_that_came_to_nothing_counts_nothing() {
    let till = Till::open(1000).await;
    let story = |it: &Intent| vec![it.failed(), it.canceled(), it.failed()];
    assert_eq!(ends(&till, story).await, ["PENDING paid 0 refunded 0 due 0 CHARGE CANCELLED 3500"]);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_a_payment_was_made_when_it_was_first_reported() {
    let till = Till::open(1000).await;
    for reversed in [false, true] {
        let paid = deposit(&till.four().await);
        let mut told = vec![paid.succeeded(), later(paid.session_completed(), 60)];
        let first = told[0]["created"].as_i64().expect("a time");
        if reversed {
            told.reverse();
        }
        for event in &told {
            till.told(event).await;
        }
        till.settled().await;
        let request = ListPaymentsRequest { booking_id: paid.booking_id.clone(), ..Default::default() };
        let payments = till.service.clients.clone().payments.list_payments(request).await.expect("a list").into_inner();
        let occurred: Vec<_> =
            payments.payments.iter().map(|it| it.occurred_at.as_ref().expect("a time").seconds).collect();
        assert_eq!(occurred, [first], "reversed: {reversed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_names_the_booking_for_an_intent_that_does_not() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    let nameless = |mut event: Value| {
        event["data"]["object"]["metadata"] = serde_json::json!({});
        event
    };
    // The refund by its charge alone, as the oldest versions of the API have it.
    let mut refunded = nameless(paid.refunded(500));
    refunded["data"]["object"]["payment_intent"] = Value::Null;
    for event in [refunded, nameless(paid.succeeded()), paid.session_completed()] {
        till.told(&event).await;
    }
    till.settled().await;
    assert_eq!(super::sums(&till.read(&made.booking_id).await), (3000, 500, 0));
    assert_eq!(till.service.scalar::<i64>("SELECT count(*) FROM payments").await, 2);
    till.assert_counted().await;
}
