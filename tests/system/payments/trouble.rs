use std::time::Duration;

use serde_json::json;
use teppan_shared::{contract::booking::v1::BookingStatus, keys::Keys};
use teppan_tests::{
    harness::{self, Booking, eventually},
    stripe::{self, Intent},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{SECRET, StripeFixture, cash, cash_back, deposit, sums};
use crate::logs::log_of;

#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_event_that_cannot_be_applied_yet_waits_and_delays_no_other() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let early = deposit(&made);
    let mut nameless = early.refunded(500);
    nameless["data"]["object"]["metadata"] = json!(null);
    fixture.send_and_wait(&nameless).await;
    fixture.send_and_wait(&early.disputed()).await;
    fixture.send_and_wait(&Intent::of(&Uuid::now_v7().to_string(), 3500).succeeded()).await;
    let waiting = "SELECT string_agg(DISTINCT reason, ' ') FROM stripe_events WHERE state = 'WAITING'";
    assert_eq!(fixture.service.scalar::<String>(waiting).await, "BOOKING_NOT_FOUND BOOKING_NOT_NAMED");
    fixture.send_and_wait(&early.succeeded()).await;
    let waiting = "SELECT count(*) FROM stripe_events WHERE state = 'WAITING'";
    eventually("both events are applied", async || fixture.service.scalar::<i64>(waiting).await == 1).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 500, 0));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_event_that_can_never_be_applied_is_set_aside_with_its_reason_and_tried_again_when_sent_again() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let foreign = Intent { currency: "usd".to_owned(), ..deposit(&made) }.succeeded();
    fixture.send_and_wait(&foreign).await;
    let id = foreign["id"].as_str().expect("an id");
    assert_eq!(fixture.event_state(id).await, ("SET_ASIDE".to_owned(), 1, "CURRENCY_MISMATCH".to_owned()));
    let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
    fixture.send_and_wait(&unreadable).await;
    let id = unreadable["id"].as_str().expect("an id");
    assert_eq!(fixture.event_state(id).await, ("SET_ASIDE".to_owned(), 0, "UNREADABLE".to_owned()));
    // The currency has been corrected, and an operator makes Stripe send the event again.
    fixture.sql("UPDATE bookings SET currency = 'USD'").await;
    fixture.send_and_wait(&foreign).await;
    eventually("the event is applied", async || sums(&fixture.read(&made.booking_id).await) == (3500, 0, 0)).await;
    fixture.send_and_wait(&foreign).await;
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (3500, 0, 0));
    // Only this check: the audit would report the changed currency.
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_an_older_version_did_not_understand_is_read_again_when_sent_again() {
    let fixture = StripeFixture::with_seats(10).await;
    // As an older version reads the event: it misses a field, or does not know the type.
    let (unreadable, ignored) = (("payment_intent.succeeded", "SET_ASIDE"), ("payment_intent.renamed", "DONE"));
    for (kind, state) in [unreadable, ignored] {
        let made = fixture.pending_party_of_four().await;
        let event = deposit(&made).succeeded();
        let mut misread = event.clone();
        misread["type"] = json!(kind);
        misread["data"]["object"] = json!({"id": "pi_1"});
        fixture.send_and_wait(&misread).await;
        let id = event["id"].as_str().expect("an id");
        assert_eq!(fixture.event_state(id).await.0, state);
        fixture.send_event(&event).await;
        eventually("the event is applied", async || {
            fixture.event_state(id).await == ("DONE".to_owned(), 1, String::new())
        })
        .await;
        assert_eq!(sums(&fixture.read(&made.booking_id).await), (3500, 0, 0), "{kind}");
        // An event that is not understood replaces no stored event.
        fixture.send_event(&misread).await;
        assert_eq!(fixture.event_state(id).await, ("DONE".to_owned(), 1, String::new()));
    }
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_beyond_what_is_still_paid_waits() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let paid = deposit(&made);
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.record(cash_back(&made.booking_id, 3000)).await.expect("given back in cash");
    let dispute = paid.disputed();
    fixture.send_and_wait(&dispute).await;
    let (state, _, reason) = fixture.event_state(dispute["id"].as_str().expect("an id")).await;
    assert_eq!((state.as_str(), reason.as_str()), ("WAITING", "REFUND_EXCEEDS_PAID"));
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (500, 3000, 0));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_attempts_an_event_is_set_aside_or_unrelated_and_settled_events_are_removed_when_old() {
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.secrets = booking_service::domain::StripeSecrets::parse(&SECRET.into()).expect("a secret");
    settings.stripe.interval = Duration::from_millis(20);
    settings.stripe.attempts_max = 2;
    settings.retention_interval = Duration::from_millis(50);
    let service = Booking::configured(settings, url, keys).await.ready().await;
    let send = async |event: &serde_json::Value| {
        assert_eq!(stripe::send(service.service.server.http_addr, event, SECRET).await.0, 200);
    };
    let lost = Intent::of(&Uuid::now_v7().to_string(), 3500);
    // The Stripe account also has payments that belong to no booking.
    let mut foreign = Intent::of("", 900).succeeded();
    foreign["data"]["object"]["metadata"] = json!({"order": "7"});
    send(&lost.succeeded()).await;
    send(&foreign).await;
    send(&Intent::of("", 900).disputed()).await;
    let states = "SELECT string_agg(concat_ws(' ', state, attempts, reason), ', ' ORDER BY reason) FROM stripe_events";
    let expected = "SET_ASIDE 2 BOOKING_NOT_FOUND, DONE 2 UNRELATED, DONE 2 UNRELATED";
    eventually("all events are settled", async || service.scalar::<String>(states).await == expected).await;
    let old = "UPDATE stripe_events SET settled_at = now() - interval '9100 days'";
    harness::execute(&service.url, old).await;
    let left = "SELECT string_agg(reason, ' ') FROM stripe_events";
    eventually("old settled events are removed", async || service.scalar::<String>(left).await == "BOOKING_NOT_FOUND")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_recorded_also_for_a_booking_whose_special_requests_cannot_be_decrypted() {
    let fixture = StripeFixture::with_seats(10).await;
    let (made, other) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    // Each value was encrypted with the associated data of the other booking, so neither can be decrypted.
    let swap = "UPDATE bookings b SET details_sealed = o.details_sealed
                FROM bookings o WHERE o.booking_id <> b.booking_id";
    fixture.sql(swap).await;
    let refund = deposit(&made).refunded(500);
    fixture.send_and_wait(&refund).await;
    let id = refund["id"].as_str().expect("an id");
    assert_eq!(fixture.event_state(id).await, ("DONE".to_owned(), 1, String::new()));
    // The reply of the call contains the special requests, so it fails. The payment is recorded all the same, once.
    let paid = cash(&other.booking_id, 3500);
    for _ in 0..2 {
        let status = fixture.record(paid.clone()).await.expect_err("the special requests cannot be decrypted");
        assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "DATA_CORRUPTED");
    }
    fixture.sql(swap).await;
    let (made, other) = (fixture.read(&made.booking_id).await, fixture.read(&other.booking_id).await);
    assert_eq!((sums(&made), sums(&other)), ((3000, 500, 0), (3500, 0, 0)));
    assert_eq!((made.status(), other.status()), (BookingStatus::Confirmed, BookingStatus::Confirmed));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_an_unknown_booking_is_logged_as_a_warning_once() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let unknown_booking = Uuid::now_v7().to_string();
    let event = Intent::of(&unknown_booking, 3500).succeeded();
    let settings =
        [("STRIPE_WEBHOOK_SECRETS", SECRET), ("STRIPE_LIVEMODE", "false"), ("STRIPE_EVENTS_INTERVAL_MS", "50")];
    let log = log_of(&url, &settings, async |service| {
        eventually("the event is accepted", async || stripe::send(service.http, &event, SECRET).await.0 == 200).await;
        service.until_logged("names an unknown booking").await;
        let tried = "SELECT attempts::bigint FROM stripe_events";
        eventually("the event is tried again", async || harness::scalar::<i64>(&url, tried).await > 1).await;
    })
    .await;
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("names an unknown booking")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    for expected in
        [event["id"].as_str().expect("an id"), "payment_intent.succeeded", &unknown_booking, r#""level":"WARN""#]
    {
        assert!(warnings[0].contains(expected), "{expected} is missing from: {}", warnings[0]);
    }
}
