use std::time::Duration;

use serde_json::json;
use teppan_shared::{contract::booking::v1::BookingStatus, keys::Keys};
use teppan_tests::{
    harness::{self, Booking, eventually},
    stripe::{self, Intent},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{SECRET, Till, cash, cash_back, deposit, sums};
use crate::logs::log_of;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_waits_without_standing_in_the_way_of_others() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let early = deposit(&made);
    let mut nameless = early.refunded(500);
    nameless["data"]["object"]["metadata"] = json!(null);
    till.told(&nameless).await;
    till.told(&early.disputed()).await;
    till.told(&Intent::of(&Uuid::now_v7().to_string(), 3500).succeeded()).await;
    let waiting = "SELECT string_agg(DISTINCT reason, ' ') FROM stripe_events WHERE state = 'WAITING'";
    assert_eq!(till.service.scalar::<String>(waiting).await, "BOOKING_NOT_FOUND BOOKING_NOT_NAMED");
    till.told(&early.succeeded()).await;
    let waiting = "SELECT count(*) FROM stripe_events WHERE state = 'WAITING'";
    eventually("both are applied", async || till.service.scalar::<i64>(waiting).await == 1).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (0, 500, 0));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_can_be_applied_is_set_aside_with_its_reason_and_tried_again_when_it_is_sent_again() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let foreign = Intent { currency: "usd".to_owned(), ..deposit(&made) }.succeeded();
    till.told(&foreign).await;
    let id = foreign["id"].as_str().expect("an id");
    assert_eq!(till.state_of(id).await, ("SET_ASIDE".to_owned(), 1, "CURRENCY_MISMATCH".to_owned()));
    let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
    till.told(&unreadable).await;
    let id = unreadable["id"].as_str().expect("an id");
    assert_eq!(till.state_of(id).await, ("SET_ASIDE".to_owned(), 0, "UNREADABLE".to_owned()));
    // The venue has been put right meanwhile, and somebody lets Stripe send it again.
    till.sql("UPDATE bookings SET currency = 'USD'").await;
    till.told(&foreign).await;
    eventually("it is applied", async || sums(&till.read(&made.booking_id).await) == (3500, 0, 0)).await;
    till.told(&foreign).await;
    assert_eq!(sums(&till.read(&made.booking_id).await), (3500, 0, 0));
    // The audit would rightly find the currency that was changed.
    till.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_understood_is_read_anew_when_it_is_sent_again() {
    let till = Till::open(10).await;
    // As another version would read it: it misses something, or does not know the type.
    let (unreadable, ignored) = (("payment_intent.succeeded", "SET_ASIDE"), ("payment_intent.renamed", "DONE"));
    for (kind, state) in [unreadable, ignored] {
        let made = till.four().await;
        let event = deposit(&made).succeeded();
        let mut misread = event.clone();
        misread["type"] = json!(kind);
        misread["data"]["object"] = json!({"id": "pi_1"});
        till.told(&misread).await;
        let id = event["id"].as_str().expect("an id");
        assert_eq!(till.state_of(id).await.0, state);
        till.tell(&event).await;
        eventually("it is applied", async || till.state_of(id).await == ("DONE".to_owned(), 1, String::new())).await;
        assert_eq!(sums(&till.read(&made.booking_id).await), (3500, 0, 0), "{kind}");
        // What is not understood replaces nothing.
        till.tell(&misread).await;
        assert_eq!(till.state_of(id).await, ("DONE".to_owned(), 1, String::new()));
    }
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_was_received_is_never_taken_away() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let paid = deposit(&made);
    till.told(&paid.succeeded()).await;
    till.record(cash_back(&made.booking_id, 3000)).await.expect("given back in cash");
    let dispute = paid.disputed();
    till.told(&dispute).await;
    let (state, _, reason) = till.state_of(dispute["id"].as_str().expect("an id")).await;
    assert_eq!((state.as_str(), reason.as_str()), ("WAITING", "REFUND_EXCEEDS_PAID"));
    assert_eq!(sums(&till.read(&made.booking_id).await), (500, 3000, 0));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_attempts_an_event_is_set_aside_for_good_or_found_unrelated_and_removed_after_its_time() {
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.secrets = booking_service::domain::StripeSecrets::parse(&SECRET.into()).expect("a secret");
    settings.stripe.interval = Duration::from_millis(20);
    settings.stripe.attempts_max = 2;
    settings.retention_interval = Duration::from_millis(50);
    let service = Booking::configured(settings, url, keys).await.ready().await;
    let tell = async |event: &serde_json::Value| {
        assert_eq!(stripe::send(service.service.server.http_addr, event, SECRET).await.0, 200);
    };
    let lost = Intent::of(&Uuid::now_v7().to_string(), 3500);
    // The account has other business too.
    let mut foreign = Intent::of("", 900).succeeded();
    foreign["data"]["object"]["metadata"] = json!({"order": "7"});
    tell(&lost.succeeded()).await;
    tell(&foreign).await;
    tell(&Intent::of("", 900).disputed()).await;
    let ends = "SELECT string_agg(concat_ws(' ', state, attempts, reason), ', ' ORDER BY reason) FROM stripe_events";
    let expected = "SET_ASIDE 2 BOOKING_NOT_FOUND, DONE 2 UNRELATED, DONE 2 UNRELATED";
    eventually("all are settled", async || service.scalar::<String>(ends).await == expected).await;
    let old = "UPDATE stripe_events SET settled_at = now() - interval '9100 days'";
    harness::execute(&service.url, old).await;
    let left = "SELECT string_agg(reason, ' ') FROM stripe_events";
    eventually("what is done is gone", async || service.scalar::<String>(left).await == "BOOKING_NOT_FOUND").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_recorded_also_for_a_booking_whose_wishes_cannot_be_read() {
    let till = Till::open(10).await;
    let (made, other) = (till.four().await, till.four().await);
    // Sealed for another place, so neither opens.
    let swap = "UPDATE bookings b SET special_requests_sealed = o.special_requests_sealed
                FROM bookings o WHERE o.booking_id <> b.booking_id";
    till.sql(swap).await;
    let refund = deposit(&made).refunded(500);
    till.told(&refund).await;
    let id = refund["id"].as_str().expect("an id");
    assert_eq!(till.state_of(id).await, ("DONE".to_owned(), 1, String::new()));
    // Of a call the answer holds the wishes; the money has moved all the same, and once.
    let paid = cash(&other.booking_id, 3500);
    for _ in 0..2 {
        let status = till.record(paid.clone()).await.expect_err("the wishes cannot be read");
        assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "DATA_CORRUPTED");
    }
    till.sql(swap).await;
    let (made, other) = (till.read(&made.booking_id).await, till.read(&other.booking_id).await);
    assert_eq!((sums(&made), sums(&other)), ((3000, 500, 0), (3500, 0, 0)));
    assert_eq!((made.status(), other.status()), (BookingStatus::Confirmed, BookingStatus::Confirmed));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_a_booking_that_is_not_there_is_warned_of_once() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let nobody = Uuid::now_v7().to_string();
    let event = Intent::of(&nobody, 3500).succeeded();
    let settings =
        [("STRIPE_WEBHOOK_SECRETS", SECRET), ("STRIPE_LIVEMODE", "false"), ("STRIPE_EVENTS_INTERVAL_MS", "50")];
    let log = log_of(&url, &settings, async |service| {
        eventually("it is taken", async || stripe::send(service.http, &event, SECRET).await.0 == 200).await;
        service.has("a booking that is not here").await;
        let tried = "SELECT attempts::bigint FROM stripe_events";
        eventually("it is tried again", async || harness::scalar::<i64>(&url, tried).await > 1).await;
    })
    .await;
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("a booking that is not here")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    for told in [event["id"].as_str().expect("an id"), "payment_intent.succeeded", &nobody, r#""level":"WARN""#] {
        assert!(warnings[0].contains(told), "{told} is missing from: {}", warnings[0]);
    }
}
