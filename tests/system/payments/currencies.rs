//! Stripe does not always count in minor units, and cannot charge every amount.

use serde_json::json;
use sqlx::Row as _;
use teppan_shared::contract::booking::v1::{BatchCheckAvailabilityRequest, BookingStatus, SlotQuery};
use teppan_tests::{
    harness,
    stripe::{Intent, event},
};

use super::{StripeFixture, sums};
use crate::changes::Change;

const CODES: [&str; 12] = ["EUR", "USD", "GBP", "HUF", "CZK", "JPY", "ISK", "UGX", "MGA", "KWD", "TND", "CLP"];

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_stripe_counts_in_other_units_are_recorded_in_minor_units() {
    for (code, stripe, cents) in
        [("ISK", 500_000, 5000), ("UGX", 500_000, 5000), ("MGA", 50, 5000), ("KWD", 5000, 5000)]
    {
        let fixture = StripeFixture::with_seats(4).await;
        fixture
            .sql(format!("UPDATE venues SET currency = '{code}'; UPDATE slots SET price_per_person_cents = 5000"))
            .await;
        let made = fixture.book(4).await;
        assert_eq!((made.currency.as_str(), made.deposit_cents), (code, 5000));
        let paid = Intent { currency: code.to_lowercase(), ..Intent::of(&made.booking_id, stripe) };
        fixture.send_and_wait(&paid.succeeded()).await;
        let firm = fixture.read(&made.booking_id).await;
        assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (cents, 0, 0)), "{code}");
        fixture.send_and_wait(&paid.refunded(stripe)).await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, cents, 0), "{code}");
        fixture.assert_sums_and_audit().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refund_due_after_a_late_cancellation_is_an_amount_that_stripe_can_refund() {
    let fixture = StripeFixture::with_seats(4).await;
    fixture.sql("UPDATE venues SET currency = 'KWD', full_refund_hours = 8760, late_refund_percent = 33").await;
    fixture.sql("UPDATE slots SET price_per_person_cents = 5003").await;
    let made = fixture.book(4).await;
    let paid = Intent { currency: "kwd".to_owned(), ..Intent::of(&made.booking_id, 5010) };
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (5010, 0, 1660));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_cannot_be_recorded_is_set_aside_at_once() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let of = |amount_cents: i64, currency: &str| Intent {
        currency: currency.to_owned(),
        ..Intent::of(&made.booking_id, amount_cents)
    };
    let mut malformed = of(3500, "eur").succeeded();
    malformed["data"]["object"]["metadata"]["booking_id"] = json!(made.confirmation_code);
    for (event, expected) in [
        (of(i64::MAX, "eur").succeeded(), "AMOUNT_OUT_OF_RANGE"),
        (of(100_000_000_001, "eur").succeeded(), "AMOUNT_OUT_OF_RANGE"),
        (of(500_050, "isk").succeeded(), "AMOUNT_NOT_CONVERTIBLE"),
        (of(3500, "eur").dispute("charge.dispute.created", "1", i64::MAX, "needs_response"), "AMOUNT_OUT_OF_RANGE"),
        (malformed, "MALFORMED_BOOKING_ID"),
        (event("payment_intent.succeeded", json!({"id": "pi_1"})), "UNREADABLE"),
    ] {
        fixture.send_and_wait(&event).await;
        let (state, attempts, reason) = fixture.event_state(event["id"].as_str().expect("an id")).await;
        assert_eq!((state.as_str(), attempts, reason.as_str()), ("SET_ASIDE", 0, expected));
    }
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 0, 0));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_mode_or_account_change_nothing() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = super::deposit(&made);
    let live = |mut event: serde_json::Value| {
        event["livemode"] = json!(true);
        event
    };
    let connected = |mut event: serde_json::Value| {
        event["account"] = json!("acct_1");
        event
    };
    for (event, state, reason) in [
        (live(paid.succeeded()), "SET_ASIDE", "LIVEMODE_MISMATCH"),
        (connected(paid.succeeded()), "SET_ASIDE", "ACCOUNT_MISMATCH"),
        (live(paid.disputed()), "DONE", "LIVEMODE_MISMATCH"),
        (connected(paid.refund_made("1", 5)), "DONE", "ACCOUNT_MISMATCH"),
    ] {
        fixture.send_and_wait(&event).await;
        let (seen, _, because) = fixture.event_state(event["id"].as_str().expect("an id")).await;
        assert_eq!((seen.as_str(), because.as_str()), (state, reason));
    }
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 0, 0));
    fixture.send_and_wait(&paid.succeeded()).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (3500, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_are_the_same_in_the_schema_and_in_the_domain() {
    let fixture = StripeFixture::with_seats(1).await;
    let mut connection = harness::connect(&fixture.service.url).await;
    let rows = sqlx::query(
        "SELECT code, total, share, deposit_cents(total, share, code)
         FROM unnest($1::text[]) AS code, unnest(ARRAY[0, 1, 25, 33, 100]) AS share,
              (SELECT generate_series(0, 300)::bigint UNION ALL SELECT n * 997::bigint FROM generate_series(1, 60) AS n) AS t (total)",
    )
    .bind(CODES.map(str::to_owned).to_vec())
    .fetch_all(&mut connection)
    .await
    .expect("deposits");
    assert!(rows.len() > 20_000);
    for row in rows {
        let (code, total, share): (String, i64, i32) = (row.get(0), row.get(1), row.get(2));
        let currency = booking_service::domain::Currency::parse(&code).expect("a currency");
        let expected = booking_service::domain::deposit_cents(total, share, currency);
        assert_eq!(row.get::<i64, _>(3), expected, "{share} % of {total} {code}");
    }
    let every =
        "SELECT string_agg(code || deposit_step_cents(code) || ' ' || deposit_minimum_cents(code), ', ' ORDER BY code)
                 FROM unnest($1::text[]) AS code";
    let all: Vec<String> = (0..26 * 26 * 26)
        .map(|n| {
            [n / 676, n / 26 % 26, n % 26].map(|letter| char::from(b'A' + u8::try_from(letter).expect("a letter")))
        })
        .map(|letters| letters.iter().collect::<String>())
        .filter(|code| booking_service::domain::Currency::parse(code).is_ok())
        .collect();
    assert!(all.len() > 150);
    let seen: String = sqlx::query_scalar(every).bind(&all).fetch_one(&mut connection).await.expect("all currencies");
    let expected = all.iter().map(|code| {
        let currency = booking_service::domain::Currency::parse(code).expect("a currency");
        let (step, least) =
            (booking_service::domain::step_cents(currency), booking_service::domain::minimum_cents(currency));
        format!("{code}{step} {least}")
    });
    assert_eq!(seen, expected.collect::<Vec<_>>().join(", "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_stripe_cannot_charge_is_rounded_or_waived() {
    let fixture = StripeFixture::with_seats(40).await;
    for (code, price, status, deposit) in [
        ("EUR", 45, BookingStatus::Pending, 50),
        ("EUR", 12, BookingStatus::Confirmed, 0),
        ("KWD", 5003, BookingStatus::Pending, 5010),
        ("MGA", 1234, BookingStatus::Pending, 1300),
        ("JPY", 10, BookingStatus::Confirmed, 0),
    ] {
        fixture
            .sql(format!("UPDATE venues SET currency = '{code}'; UPDATE slots SET price_per_person_cents = {price}"))
            .await;
        let made = fixture.book(4).await;
        assert_eq!((made.status(), made.deposit_cents), (status, deposit), "{code} {price}");
        let query = SlotQuery {
            venue_id: made.venue_id.clone(),
            date: made.date.clone(),
            start_time: made.start_time.clone(),
            party_size: 4,
        };
        let request = BatchCheckAvailabilityRequest { queries: vec![query] };
        let checked =
            fixture.service.clients.clone().schedule.batch_check_availability(request).await.expect("checked");
        assert_eq!(checked.into_inner().checks[0].deposit_cents, deposit, "{code} {price}");
    }
}
