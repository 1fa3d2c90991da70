use std::collections::HashMap;

use teppan_shared::contract::booking::v1::BookingStatus;
use teppan_tests::{
    harness::{self, eventually},
    launch::{Process, Which},
    stripe,
};

use super::{SECRET, StripeFixture, deposit};
use crate::environment;

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_event_survives_the_process_that_accepted_it() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let StripeFixture { venue_fixture, .. } = fixture;
    let (url, keys) = (venue_fixture.service.url.clone(), venue_fixture.service.keys.clone());
    venue_fixture.service.service.stop().await;

    let mut process_env: HashMap<_, _> = environment::with_keys(&url).collect();
    process_env.insert("STRIPE_WEBHOOK_SECRETS".to_owned(), SECRET.to_owned());
    process_env.insert("STRIPE_LIVEMODE".to_owned(), "false".to_owned());
    let process = Process::start(Which::Booking, &process_env).await.expect("the process starts");
    eventually("the service is ready", async || {
        let ready = "GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stripe::exchange(process.http, ready.as_bytes()).await.0 == 200
    })
    .await;
    // The process dies while it waits for the booking, which another transaction has locked.
    let mut other = harness::connect(&url).await;
    sqlx::raw_sql("BEGIN; SELECT FROM bookings FOR UPDATE").execute(&mut other).await.expect("locked");
    // Stripe sends an event again too, when a busy machine has no connection yet.
    let event = deposit(&made).succeeded();
    eventually("the event is accepted", async || stripe::send(process.http, &event, SECRET).await.0 == 200).await;
    let claimed = "SELECT attempts FROM stripe_events";
    eventually("the event is claimed", async || harness::scalar::<i32>(&url, claimed).await == 1).await;
    drop(process);
    drop(other);
    let status = "SELECT status FROM bookings";
    eventually("its statement has ended", async || {
        let running = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()";
        harness::scalar::<i64>(&url, running).await == 0
    })
    .await;

    // For a replica whose clock is ahead the lease has ended.
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.interval = std::time::Duration::from_millis(20);
    settings.clock = teppan_shared::clock::Clock::ahead(chrono::TimeDelta::minutes(5));
    let _replica = harness::Booking::configured(settings, url.clone(), keys).await.ready().await;
    eventually("the event is applied", async || harness::scalar::<String>(&url, status).await == "CONFIRMED").await;
    eventually("the event is settled", async || {
        harness::scalar::<String>(&url, "SELECT state FROM stripe_events").await == "DONE"
    })
    .await;
    assert_eq!(harness::scalar::<i64>(&url, "SELECT count(*) FROM payments").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_apply_each_event_once() {
    let fixture = StripeFixture::with_seats(200).await;
    let other = fixture.replica().await;
    let mut bookings = Vec::new();
    for n in 0..40 {
        let made = fixture.pending_party_of_four().await;
        let paid = deposit(&made);
        let events = [paid.succeeded(), paid.session_completed(), paid.refunded(100)];
        let there = if n % 2 == 0 { &other } else { &fixture.service };
        for event in &events {
            for http in [fixture.service.service.server.http_addr, there.service.server.http_addr] {
                assert_eq!(stripe::send(http, event, SECRET).await.0, 200);
            }
        }
        bookings.push(made.booking_id);
    }
    fixture.all_events_settled().await;
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 120);
    for booking_id in &bookings {
        let firm = fixture.read(booking_id).await;
        assert_eq!((firm.status(), firm.paid_cents, firm.version), (BookingStatus::Confirmed, 3400, 4));
    }
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_claimed_when_the_database_becomes_unavailable_are_put_back_and_no_attempt_counts() {
    let fixture = StripeFixture::with_seats(20).await;
    // The trigger answers as a server during its shutdown. A sequence counts, because a rollback does not reset it.
    fixture
        .sql(
            "CREATE SEQUENCE refusals;
         CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM nextval('refusals'); RAISE 'shut down' USING ERRCODE = '57P01'; END $$;
         CREATE TRIGGER go_away BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION go_away()",
        )
        .await;
    let mut bookings = Vec::new();
    for _ in 0..3 {
        let made = fixture.pending_party_of_four().await;
        fixture.send_event(&deposit(&made).succeeded()).await;
        bookings.push(made.booking_id);
    }
    // Each run makes two attempts, and stops at the first event.
    let refusals = "SELECT last_value FROM refusals";
    eventually("three runs have failed", async || fixture.service.scalar::<i64>(refusals).await > 4).await;
    fixture.sql("DROP TRIGGER go_away ON payments").await;
    let done = "SELECT count(*) FROM stripe_events WHERE state = 'DONE' AND attempts = 1";
    eventually("each event is applied at its first counted attempt", async || {
        fixture.service.scalar::<i64>(done).await == 3
    })
    .await;
    for booking_id in &bookings {
        assert_eq!(fixture.read(booking_id).await.status(), BookingStatus::Confirmed);
    }
    fixture.assert_sums_and_audit().await;
}
