use std::collections::HashMap;

use teppan_shared::contract::booking::v1::BookingStatus;
use teppan_tests::{
    harness::{self, eventually},
    launch::{Process, Which},
    stripe,
};

use super::{SECRET, Till, deposit};
use crate::environment;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_taken_outlives_the_process_that_took_it() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let Till { house, .. } = till;
    let (url, keys) = (house.service.url.clone(), house.service.keys.clone());
    house.service.service.stop().await;

    let mut process_env: HashMap<_, _> = environment::with_keys(&url).collect();
    process_env.insert("STRIPE_WEBHOOK_SECRETS".to_owned(), SECRET.to_owned());
    process_env.insert("STRIPE_LIVEMODE".to_owned(), "false".to_owned());
    let process = Process::start(Which::Booking, &process_env).await.expect("it starts");
    eventually("it is ready", async || {
        let ready = "GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stripe::exchange(process.http, ready.as_bytes()).await.0 == 200
    })
    .await;
    // It gets as far as the booking, which somebody else has locked, and dies there.
    let mut other = harness::connect(&url).await;
    sqlx::raw_sql("BEGIN; SELECT FROM bookings FOR UPDATE").execute(&mut other).await.expect("locked");
    // As Stripe does, again when a busy machine has no connection yet.
    let event = deposit(&made).succeeded();
    eventually("it is taken", async || stripe::send(process.http, &event, SECRET).await.0 == 200).await;
    let claimed = "SELECT attempts FROM stripe_events";
    eventually("it is claimed", async || harness::scalar::<i32>(&url, claimed).await == 1).await;
    drop(process);
    drop(other);
    let status = "SELECT status FROM bookings";
    eventually("its statement is ended", async || {
        let running = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()";
        harness::scalar::<i64>(&url, running).await == 0
    })
    .await;

    // To a replica whose clock is ahead the lease has run out.
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.interval = std::time::Duration::from_millis(20);
    settings.clock = teppan_shared::clock::Clock::ahead(chrono::TimeDelta::minutes(5));
    let _replica = harness::Booking::configured(settings, url.clone(), keys).await.ready().await;
    eventually("it is applied", async || harness::scalar::<String>(&url, status).await == "CONFIRMED").await;
    eventually("and settled", async || {
        harness::scalar::<String>(&url, "SELECT state FROM stripe_events").await == "DONE"
    })
    .await;
    assert_eq!(harness::scalar::<i64>(&url, "SELECT count(*) FROM payments").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_apply_each_event_once() {
    let till = Till::open(200).await;
    let other = till.replica().await;
    let mut bookings = Vec::new();
    for n in 0..40 {
        let made = till.four().await;
        let paid = deposit(&made);
        let events = [paid.succeeded(), paid.session_completed(), paid.refunded(100)];
        let there = if n % 2 == 0 { &other } else { &till.service };
        for event in &events {
            for http in [till.service.service.server.http_addr, there.service.server.http_addr] {
                assert_eq!(stripe::send(http, event, SECRET).await.0, 200);
            }
        }
        bookings.push(made.booking_id);
    }
    till.settled().await;
    assert_eq!(till.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 120);
    for booking_id in &bookings {
        let firm = till.read(booking_id).await;
        assert_eq!((firm.status(), firm.paid_cents, firm.version), (BookingStatus::Confirmed, 3400, 4));
    }
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_were_claimed_when_the_database_went_away_are_put_back_and_no_attempt_counts() {
    let till = Till::open(20).await;
    // As a server that is being shut down answers; how often is counted outside of what is rolled back.
    till.sql(
        "CREATE SEQUENCE refusals;
         CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM nextval('refusals'); RAISE 'shut down' USING ERRCODE = '57P01'; END $$;
         CREATE TRIGGER go_away BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION go_away()",
    )
    .await;
    let mut bookings = Vec::new();
    for _ in 0..3 {
        let made = till.four().await;
        till.tell(&deposit(&made).succeeded()).await;
        bookings.push(made.booking_id);
    }
    // Each run tries twice, and ends with the first event.
    let refusals = "SELECT last_value FROM refusals";
    eventually("three runs find them", async || till.service.scalar::<i64>(refusals).await > 4).await;
    till.sql("DROP TRIGGER go_away ON payments").await;
    let done = "SELECT count(*) FROM stripe_events WHERE state = 'DONE' AND attempts = 1";
    eventually("each is applied at its first attempt", async || till.service.scalar::<i64>(done).await == 3).await;
    for booking_id in &bookings {
        assert_eq!(till.read(booking_id).await.status(), BookingStatus::Confirmed);
    }
    till.assert_counted().await;
}
