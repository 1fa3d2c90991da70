use std::time::Duration;

use secrecy::SecretString;
use teppan_shared::{
    config::CommonSettings,
    embedded::{Durability, ThrowawayServer},
    keys::Keys,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking, Conversation},
    proxy::Proxy,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{create, kind};
use crate::logs::log_of;

fn short_acquire_timeout(settings: &mut CommonSettings) {
    settings.database_limits.acquire_timeout = Duration::from_secs(1);
}

fn assert_unavailable(status: &Status) {
    assert_eq!(kind(status), (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()));
    assert!(status.get_details_retry_info().expect("a RetryInfo").retry_delay.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_while_the_database_closes_connections_and_succeed_as_soon_as_it_is_back() {
    let (proxy, mut booking) = Booking::behind_a_proxy(short_acquire_timeout).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.cut().await;
    let request = fixtures::booking(&venue.venue_id, 2);
    assert_unavailable(&create(&mut booking.clients, request.clone()).await);
    proxy.restore();
    booking.clients.bookings.create_booking(request).await.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_while_the_database_refuses_connections_and_succeed_as_soon_as_it_is_back() {
    let (proxy, mut booking) = Booking::behind_a_proxy(short_acquire_timeout).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.refuse().await.expect("the port is kept");
    let request = fixtures::booking(&venue.venue_id, 2);
    for _ in 0..3 {
        assert_unavailable(&create(&mut booking.clients, request.clone()).await);
    }
    proxy.restore();
    booking.clients.bookings.create_booking(request).await.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_are_unavailable_while_the_database_refuses_connections() {
    let (proxy, mut booking) = Booking::behind_a_proxy(short_acquire_timeout).await;
    let venue = fixtures::venue(&mut booking.clients, 40).await.expect("a venue");
    proxy.refuse().await.expect("the port is kept");
    let requests: Vec<_> = (0..8).map(|_| fixtures::booking(&venue.venue_id, 1)).collect();
    let calls = requests.iter().map(|request| {
        let (mut clients, request) = (booking.clients.clone(), request.clone());
        async move { create(&mut clients, request).await }
    });
    for status in futures::future::join_all(calls).await {
        assert_unavailable(&status);
    }
    proxy.restore();
    for request in requests {
        booking.clients.bookings.create_booking(request).await.expect("booked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_the_server_closed_fail_no_call() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 40).await.expect("a venue");
    // Several connections are open and idle when all of them die at once.
    let calls = (0..8).map(|_| {
        let mut clients = booking.clients.clone();
        let request = fixtures::booking(&venue.venue_id, 1);
        async move { clients.bookings.create_booking(request).await }
    });
    for answer in futures::future::join_all(calls).await {
        answer.expect("booked");
    }
    let open = proxy.connections();
    assert!(open > 1, "{open}");
    proxy.cut().await;
    assert_eq!(proxy.connections(), 0);
    proxy.restore();
    for _ in 0..10 {
        booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("booked");
    }
}

/// Settings for a database of a server that the test stops.
fn settings_for(url: &SecretString, keys: &Keys) -> CommonSettings {
    let mut settings = harness::settings(url.clone(), keys);
    short_acquire_timeout(&mut settings);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_only_while_postgres_is_stopped_or_crashed() {
    let server = ThrowawayServer::start(&harness::home(), Durability::Volatile).await.expect("a server of its own");
    for database in ["bookings", "conversations"] {
        server.ensure_database(database).await.expect("a database");
    }
    let (bookings, conversations, keys) = (server.url("bookings"), server.url("conversations"), Keys::random());
    let (booking, conversation) = tokio::join!(
        Booking::with(settings_for(&bookings, &keys), bookings.clone(), keys.clone()),
        Conversation::with(settings_for(&conversations, &keys), conversations.clone(), keys.clone()),
    );
    let (mut booking, mut conversation) = (booking.ready().await, conversation.ready().await);
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue");
    let chat = fixtures::conversation_id();

    for crash in [false, true] {
        let (book, store) = (fixtures::booking(&venue.venue_id, 1), fixtures::message(&chat, "Hello"));
        booking.clients.bookings.create_booking(book.clone()).await.expect("booked");
        conversation.client.store_message(store.clone()).await.expect("stored");

        let stopped = if crash { server.crash().await } else { server.stop().await };
        stopped.expect("the server stops");
        let (new_book, new_store) = (fixtures::booking(&venue.venue_id, 1), fixtures::message(&chat, "Hello?"));
        assert_unavailable(&create(&mut booking.clients, new_book.clone()).await);
        assert_unavailable(&conversation.client.store_message(new_store.clone()).await.expect_err("unavailable"));

        server.restart().await.expect("the server is back");
        booking.clients.bookings.create_booking(new_book).await.expect("booked");
        conversation.client.store_message(new_store).await.expect("stored");
        if !crash {
            // With `Durability::Volatile`, commits survive a clean stop, but a crash may lose them.
            assert!(booking.clients.bookings.create_booking(book).await.expect("answered").into_inner().replayed);
            assert!(conversation.client.store_message(store).await.expect("answered").into_inner().replayed);
        }
    }
    booking.service.stop().await;
    conversation.service.stop().await;
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outage_during_a_slot_layout_run_is_logged_once_not_for_each_venue() {
    let direct = harness::database(&booking_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&direct)).await.expect("a proxy");
    let url = harness::through(&direct, proxy.address);
    let settings = [("SLOT_LAYOUT_INTERVAL_MS", "20"), ("DATABASE_ACQUIRE_TIMEOUT_MS", "200")];
    let log = log_of(&url, &settings, async |service| {
        let mut clients = BookingClients::new(service.grpc);
        harness::eventually("ready", async || fixtures::venue(&mut clients, 4).await.is_ok()).await;
        for _ in 0..2 {
            fixtures::venue(&mut clients, 4).await.expect("a venue");
        }
        let mut holding = harness::connect(&direct).await;
        sqlx::raw_sql("BEGIN; LOCK TABLE slots IN EXCLUSIVE MODE").execute(&mut holding).await.expect("locked");
        harness::execute(
            &direct,
            "UPDATE venues SET laid_out_until = current_date + 1; UPDATE weekly_schedules SET next_layout_at = 'epoch'",
        )
        .await;
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'slots'::regclass AND NOT granted)";
        harness::eventually("a layout waits", async || harness::scalar::<bool>(&direct, waits).await).await;
        proxy.refuse().await.expect("the port is kept");
        service.until_logged(r#""worker":"slot-layout""#).await;
        proxy.restore();
    })
    .await;
    assert!(!log.contains("the slots of a venue are not laid out"), "{log}");
}
