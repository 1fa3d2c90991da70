//! A database to which a round trip takes 300 ms.

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

/// Sets the limits to their defaults.
fn by_default(settings: &mut CommonSettings) {
    settings.database_limits.max_connections = 16;
    settings.database_limits.min_connections = 10;
    settings.database_limits.acquire_timeout = Duration::from_secs(2);
    settings.server.request_timeout = Duration::from_secs(10);
}

/// A database, and a proxy that leads to it as if it were far away.
async fn far(definition: &Definition) -> (Proxy, SecretString, SecretString) {
    let near = harness::database(definition).await;
    let proxy = Proxy::start(harness::database_address(&near)).await.expect("a proxy");
    proxy.put_away(ROUND_TRIP);
    let far = harness::through(&near, proxy.address);
    (proxy, near, far)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_database_delays_readiness_by_seconds_and_the_first_booking_by_one_round_trip() {
    let (_proxy, near, far) = far(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut beside = Booking::over(near, keys.clone()).await.ready().await;
    // A slot each day, so that bookings do not wait for one another.
    let venue = fixtures::venue(&mut beside.clients, 500).await.expect("a venue");
    beside.service.stop().await;

    let mut settings = harness::settings(far.clone(), &keys);
    by_default(&mut settings);
    let since = Instant::now();
    let mut booking = Booking::with(settings, far, keys).await.ready().await;
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
    println!("ready after {ready:?}, the first booking took {first:?}, {BURST} at once {burst:?}");
    // A dozen round trips, and the connections in two rounds; the rest is slack for a loaded machine.
    assert!(ready < Duration::from_secs(12), "{ready:?}");
    assert!(first < 3 * ROUND_TRIP, "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_guests_at_once_get_the_same_slot_of_a_far_database() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    by_default(&mut settings);
    let mut booking = Booking::with(settings, url, keys).await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 500).await.expect("a venue");
    proxy.put_away(ROUND_TRIP);
    let burst = join_all((0..BURST).map(|_| {
        let (mut clients, request) = (booking.clients.clone(), fixtures::booking(&venue.venue_id, 1));
        async move { clients.bookings.create_booking(request).await }
    }));
    for answer in burst.await {
        answer.expect("booked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_messages_at_once_are_stored_in_a_far_database() {
    let (_proxy, _, far) = far(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(far.clone(), &keys);
    by_default(&mut settings);
    let conversation = Conversation::with(settings, far, keys).await.ready().await;
    let burst = join_all((0..BURST).map(|_| {
        let mut client = conversation.client.clone();
        async move { client.store_message(fixtures::message(&fixtures::conversation_id(), "Hello")).await }
    }));
    for answer in burst.await {
        answer.expect("stored");
    }
}

/// The way to a database, for one connection, whose callers wait for no longer than this.
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
async fn opening_a_connection_costs_what_the_protocol_asks_for_and_a_round_trip_for_each_hot_statement() {
    for definition in [booking_service::app::DEFINITION, conversation_service::app::DEFINITION] {
        let (proxy, url) = harness::proxied(&definition).await;
        let database = one_connection(&definition, &url, Duration::from_secs(30));
        database.keep_warm().await;
        // The start, which carries all settings, and the password, which this server wants as MD5. SCRAM takes
        // one more, TLS two or three. A statement is prepared without a look at types or columns.
        let hot = u64::try_from(definition.hot_statements.len()).expect("few");
        assert_eq!((proxy.opened(), proxy.round_trips()), (1, 2 + hot), "{}", definition.name);
        // Whether the migrations are applied, on a connection of its own.
        let before = proxy.round_trips();
        assert!(database.probe().has_applied(definition.migrator).await.expect("it answers"));
        assert_eq!((proxy.opened(), proxy.round_trips() - before), (2, 2 + 1), "{}", definition.name);
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_on_an_empty_database_costs_a_few_round_trips_for_each_migration() {
    for definition in [booking_service::app::DEFINITION, conversation_service::app::DEFINITION] {
        let server = harness::postgres().await;
        let name = format!("empty_{}", definition.database);
        server.ensure_database(&name).await.expect("a database");
        let near = server.url(&name);
        let proxy = Proxy::start(harness::database_address(&near)).await.expect("a proxy");
        let database = one_connection(&definition, &harness::through(&near, proxy.address), Duration::from_secs(30));
        database.migrate(definition.migrator).await.expect("migrated");
        let files = u64::try_from(definition.migrator.iter().count()).expect("few");
        let count = proxy.round_trips();
        println!("{}: {files} migrations in {count} round trips", definition.name);
        assert!(count <= 16 + 6 * files, "{count} round trips");
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_opens_slower_than_its_caller_waits_is_kept_for_the_next() {
    let (proxy, _, far) = far(&booking_service::app::DEFINITION).await;
    let database = one_connection(&booking_service::app::DEFINITION, &far, Duration::from_millis(200));
    let error = answer(&database).await.expect_err("it takes a second");
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error:?}");
    // Callers that give up meanwhile do not restart the opening.
    harness::eventually("the connection is open", async || answer(&database).await.is_ok()).await;
    assert_eq!(proxy.opened(), 1);
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_every_connection_is_retried_with_pauses() {
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
    proxy.mend();
    answer(&database).await.expect("the next call gets a connection");
    database.close().await;
}
