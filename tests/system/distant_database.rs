//! A distant database: each round trip takes 300 ms.

use std::time::{Duration, Instant};

use futures::future::join_all;
use secrecy::SecretString;
use teppan_shared::{
    config::CommonSettings,
    keys::Keys,
    postgres::{Database, DatabaseError, DatabaseSettings},
    service::Definition,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation},
    proxy::Proxy,
};

const ROUND_TRIP: Duration = Duration::from_millis(300);
const BURST: usize = 50;

/// Sets the limits to those of a service with default settings.
fn set_default_limits(settings: &mut CommonSettings) {
    settings.database_limits.max_connections = 16;
    settings.database_limits.min_connections = 10;
    settings.database_limits.acquire_timeout = Duration::from_secs(2);
    settings.server.request_timeout = Duration::from_secs(10);
}

/// A database behind a proxy that delays it. Returns the proxy, the direct URL, and the URL through the proxy.
async fn distant_database(definition: &Definition) -> (Proxy, SecretString, SecretString) {
    let direct = harness::database(definition).await;
    let proxy = Proxy::start(harness::database_address(&direct)).await.expect("a proxy");
    proxy.set_round_trip_time(ROUND_TRIP);
    let distant = harness::through(&direct, proxy.address);
    (proxy, direct, distant)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_distant_database_the_service_is_ready_within_seconds_and_the_first_booking_takes_few_round_trips() {
    let (_proxy, direct, distant) = distant_database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut nearby = Booking::over(direct, keys.clone()).await.ready().await;
    // The bookings below use the slots of ten days, so that few of them compete for one slot.
    let venue = fixtures::venue(&mut nearby.clients, 500).await.expect("a venue");
    nearby.service.stop().await;

    let mut settings = harness::settings(distant.clone(), &keys);
    set_default_limits(&mut settings);
    let since = Instant::now();
    let mut booking = Booking::with(settings, distant, keys).await.ready().await;
    let ready = since.elapsed();
    let since = Instant::now();
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("the first is booked");
    let first = since.elapsed();
    let since = Instant::now();
    let burst = join_all((0..BURST).map(|n| {
        let mut clients = booking.clients.clone();
        let mut request = fixtures::booking(&venue.venue_id, 1);
        request.date = (fixtures::date() + chrono::Days::new(u64::try_from(n % 10).expect("small"))).to_string();
        async move { clients.bookings.create_booking(request).await }
    }));
    for answer in burst.await {
        answer.expect("booked");
    }
    let burst = since.elapsed();
    println!("ready after {ready:?}, first booking {first:?}, {BURST} concurrent bookings {burst:?}");
    // Readiness takes a dozen round trips and opens the connections in two rounds. The rest allows for a busy machine.
    assert!(ready < Duration::from_secs(12), "{ready:?}");
    assert!(first < 3 * ROUND_TRIP, "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_bookings_of_one_slot_succeed_with_a_distant_database() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    set_default_limits(&mut settings);
    let mut booking = Booking::with(settings, url, keys).await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 500).await.expect("a venue");
    proxy.set_round_trip_time(ROUND_TRIP);
    let burst = join_all((0..BURST).map(|_| {
        let (mut clients, request) = (booking.clients.clone(), fixtures::booking(&venue.venue_id, 1));
        async move { clients.bookings.create_booking(request).await }
    }));
    for answer in burst.await {
        answer.expect("booked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_messages_are_stored_in_a_distant_database() {
    let (_proxy, _, distant) = distant_database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(distant.clone(), &keys);
    set_default_limits(&mut settings);
    let conversation = Conversation::with(settings, distant, keys).await.ready().await;
    let burst = join_all((0..BURST).map(|_| {
        let mut client = conversation.client.clone();
        async move { client.store_message(fixtures::message(&fixtures::conversation_id(), "Hello")).await }
    }));
    for answer in burst.await {
        answer.expect("stored");
    }
}

/// A database with one connection, for which callers wait at most `acquire_timeout`.
fn one_connection(definition: &Definition, url: &SecretString, acquire_timeout: Duration) -> Database {
    let settings = DatabaseSettings {
        name: definition.name,
        url: url.clone(),
        max_connections: 1,
        min_connections: 1,
        acquire_timeout,
        statement_timeout: Duration::from_secs(30),
    };
    Database::new(&settings, definition.hot_statements).expect("a database")
}

async fn answer(database: &Database) -> Result<i32, DatabaseError> {
    database.fetch_one(|| sqlx::query("SELECT 1").try_map(|row| sqlx::Row::try_get(&row, 0))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_a_connection_takes_two_round_trips_and_one_for_each_hot_statement() {
    for definition in [booking_service::app::DEFINITION, conversation_service::app::DEFINITION] {
        let (proxy, url) = harness::proxied(&definition).await;
        let database = one_connection(&definition, &url, Duration::from_secs(30));
        database.keep_warm().await;
        // One round trip for the startup message with all settings, and one for the password as MD5. SCRAM takes one
        // more, TLS two or three. Preparing a statement queries no types and no columns.
        let hot = u64::try_from(definition.hot_statements.len()).expect("few");
        assert_eq!((proxy.opened(), proxy.round_trips()), (1, 2 + hot), "{}", definition.name);
        // The probe checks the migrations on a connection of its own.
        let before = proxy.round_trips();
        assert!(database.probe().has_applied(definition.migrator).await.expect("it answers"));
        assert_eq!((proxy.opened(), proxy.round_trips() - before), (2, 2 + 1), "{}", definition.name);
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_an_empty_database_takes_a_few_round_trips_for_each_migration() {
    for definition in [booking_service::app::DEFINITION, conversation_service::app::DEFINITION] {
        let server = harness::postgres().await;
        let name = format!("empty_{}", definition.database);
        server.ensure_database(&name).await.expect("a database");
        let direct = server.url(&name);
        let proxy = Proxy::start(harness::database_address(&direct)).await.expect("a proxy");
        let database = one_connection(&definition, &harness::through(&direct, proxy.address), Duration::from_secs(30));
        database.migrate(definition.migrator).await.expect("migrated");
        let files = u64::try_from(definition.migrator.iter().count()).expect("few");
        let count = proxy.round_trips();
        println!("{}: {files} migrations in {count} round trips", definition.name);
        assert!(count <= 16 + 6 * files, "{count} round trips");
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_opens_after_its_caller_timed_out_is_kept_for_the_next_caller() {
    let (proxy, _, distant) = distant_database(&booking_service::app::DEFINITION).await;
    let database = one_connection(&booking_service::app::DEFINITION, &distant, Duration::from_millis(200));
    let error = answer(&database).await.expect_err("opening takes a second");
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error:?}");
    // Callers that time out do not restart the opening of the connection.
    harness::eventually("the connection is open", async || answer(&database).await.is_ok()).await;
    assert_eq!(proxy.opened(), 1);
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_to_a_server_that_closes_every_connection_is_retried_with_pauses() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    let database = one_connection(&booking_service::app::DEFINITION, &url, Duration::from_secs(2));
    proxy.cut().await;
    let since = Instant::now();
    let mut refused = 0_u32;
    while since.elapsed() < Duration::from_secs(2) {
        let answers = join_all((0..20).map(|_| answer(&database))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(DatabaseError::Unreachable(_)))), "{answers:?}");
        refused += 20;
    }
    assert!((3..30).contains(&proxy.opened()), "{} attempts for {refused} calls", proxy.opened());
    proxy.restore();
    answer(&database).await.expect("the next call gets a connection");
    database.close().await;
}
