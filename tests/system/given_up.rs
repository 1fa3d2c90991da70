//! Statements of calls that were given up: they are ended in the server, and their connections are used again.

use std::{pin::pin, time::Duration};

use futures::future::{self, join_all};
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use teppan_shared::{
    embedded::{Durability, ThrowawayServer},
    keys::Keys,
    postgres::{self, Database, DatabaseError, DatabaseSettings},
    status,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation},
    proxy::Proxy,
};
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const DEADLINE: Duration = Duration::from_millis(300);

/// A service behind a proxy, a venue, and a transaction that holds the lock of the venue's slots.
struct LockedOut {
    proxy: Proxy,
    booking: Booking,
    /// The database, past the proxy.
    near: SecretString,
    venue: String,
    locker: PgConnection,
}

async fn locked_out() -> LockedOut {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let postgres = harness::database_address(&harness::postgres().await.url("postgres"));
    let near = harness::through(&booking.url, postgres);
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue").venue_id;
    let mut locker = harness::connect(&near).await;
    lock(&mut locker, &venue).await;
    LockedOut { proxy, booking, near, venue, locker }
}

async fn lock(locker: &mut PgConnection, venue: &str) {
    sqlx::raw_sql("BEGIN").execute(&mut *locker).await.expect("begun");
    let lock = "SELECT FROM slots WHERE venue_id = $1::text::uuid FOR UPDATE";
    let rows = sqlx::query(lock).bind(venue).fetch_all(locker).await.expect("locked");
    assert!(!rows.is_empty(), "the venue has slots");
}

async fn book(booking: &Booking, venue: &str, deadline: Duration) -> Result<(), Status> {
    let mut request = Request::new(fixtures::booking(venue, 1));
    request.set_timeout(deadline);
    booking.clients.clone().bookings.create_booking(request).await.map(|_| ())
}

/// Statements of the service that wait for a lock.
async fn waiting_for_a_lock(url: &SecretString) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'";
    harness::scalar(url, waiting).await
}

async fn until_nothing_waits(url: &SecretString) {
    harness::eventually("no statement waits", async || waiting_for_a_lock(url).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_call_passed_its_deadline_is_ended_and_its_connection_is_used_again() {
    let LockedOut { proxy, booking, near, venue, mut locker } = locked_out().await;
    for _ in 0..3 {
        let status = book(&booking, &venue, DEADLINE).await.expect_err("the slot is locked");
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        until_nothing_waits(&near).await;
    }
    // Those of the calls and of readiness, and one that cancels.
    let opened = proxy.opened();
    assert_eq!(proxy.connections() as u64, opened, "none was closed");
    sqlx::raw_sql("ROLLBACK").execute(&mut locker).await.expect("the slots are free");
    book(&booking, &venue, Duration::from_secs(20)).await.expect("booked");
    assert_eq!(proxy.opened(), opened, "none was opened");
    assert_eq!(
        harness::scalar::<i64>(&near, "SELECT count(*) FROM bookings").await,
        1,
        "what was cancelled wrote nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_client_went_away_is_ended() {
    let LockedOut { proxy: _proxy, booking, near, venue, locker: _locker } = locked_out().await;
    let call = book(&booking, &venue, Duration::from_secs(25));
    tokio::select! {
        answer = call => panic!("the slot is locked: {answer:?}"),
        () = harness::eventually("the statement waits", async || waiting_for_a_lock(&near).await == 1) => {}
    }
    until_nothing_waits(&near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_in_vain_for_one_slot_do_not_keep_the_connections_from_other_calls() {
    let LockedOut { proxy, mut booking, near, venue, locker: _locker } = locked_out().await;
    let other = fixtures::venue(&mut booking.clients, 100).await.expect("another venue").venue_id;
    for _ in 0..3 {
        // More than there are connections.
        let calls = join_all((0..30).map(|_| book(&booking, &venue, DEADLINE)));
        assert!(calls.await.iter().all(Result::is_err));
        book(&booking, &other, Duration::from_secs(20)).await.expect("booked");
    }
    until_nothing_waits(&near).await;
    // At most ten for calls, one for readiness, one that cancels: none was closed and replaced.
    assert!(proxy.opened() <= 12, "{}", proxy.opened());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_gets_no_turn_at_its_slot_in_time_is_refused_and_may_try_again() {
    let LockedOut { proxy: _proxy, booking, near, venue, mut locker } = locked_out().await;
    // As many as have a turn at a time.
    let first = (book(&booking, &venue, Duration::from_secs(20)), book(&booking, &venue, Duration::from_secs(20)));
    let mut both = pin!(future::join(first.0, first.1));
    tokio::select! {
        both = &mut both => panic!("the slot is locked: {both:?}"),
        () = harness::eventually("they wait", async || waiting_for_a_lock(&near).await == 2) => {}
    }
    let refused = book(&booking, &venue, Duration::from_secs(2)).await.expect_err("there is no turn");
    assert_eq!(status::reason(&refused), "OVERLOADED", "{refused:?}");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut locker).await.expect("the slots are free");
    let (one, other) = both.await;
    one.expect("booked");
    other.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_synchronous_standby_is_neither_cancelled_nor_cut_off() {
    let server = ThrowawayServer::start(&harness::home(), Durability::Durable).await.expect("a server of its own");
    server.ensure_database("conversations").await.expect("a database");
    let (url, keys) = (server.url("conversations"), Keys::random());
    let conversation = Conversation::over(url.clone(), keys).await.ready().await;
    let message = fixtures::message(&fixtures::conversation_id(), "Hello");
    let store = async |deadline| {
        let mut request = Request::new(message.clone());
        request.set_timeout(deadline);
        conversation.client.clone().store_message(request).await.map(tonic::Response::into_inner)
    };
    // There is no such standby.
    let mut operator = harness::connect(&url).await;
    sqlx::raw_sql("SET synchronous_commit = local").execute(&mut operator).await.expect("set");
    standbys(&mut operator, "ALTER SYSTEM SET synchronous_standby_names = 'away'").await;
    harness::eventually("commits wait", async || {
        harness::scalar::<String>(&url, "SHOW synchronous_standby_names").await == "away"
    })
    .await;

    let status = store(DEADLINE).await.expect_err("no standby answers");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()";
    assert_eq!(harness::scalar::<i64>(&url, waiting).await, 1);
    // The service has tried to cancel it, and then to close it, by when it asks this.
    let asked =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT EXISTS%SyncRep%' AND pid <> pg_backend_pid()";
    harness::eventually("it is looked after", async || harness::scalar::<i64>(&url, asked).await > 0).await;
    assert_eq!(harness::scalar::<i64>(&url, waiting).await, 1, "it still waits");
    let visible = "SELECT count(*) FROM messages";
    assert_eq!(harness::scalar::<i64>(&url, visible).await, 0, "what is not on the standby is shown to nobody");

    standbys(&mut operator, "ALTER SYSTEM RESET synchronous_standby_names").await;
    assert!(store(Duration::from_secs(20)).await.expect("stored").replayed, "the first call had committed");
    operator.close().await.expect("closed");
    conversation.service.stop().await;
    server.close().await;
}

async fn standbys(operator: &mut PgConnection, change: &'static str) {
    for sql in [change, "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sql).execute(&mut *operator).await.expect("a superuser may");
    }
}

/// A statement that takes so long, in a call with so much time left.
async fn sleep(database: &Database, seconds: f64, left: Duration) -> Result<bool, DatabaseError> {
    let sleeping = database.fetch_one(|| {
        let statement = sqlx::query("SELECT pg_sleep($1) IS NULL").bind(seconds);
        statement.try_map(|row| sqlx::Row::try_get(&row, 0))
    });
    postgres::in_time(Instant::now() + left, sleeping).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_not_get_a_connection_in_time_is_refused_at_once_and_others_wait() {
    let settings = DatabaseSettings {
        name: "test",
        url: harness::database(&booking_service::app::DEFINITION).await,
        max_connections: 1,
        min_connections: 1,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
    };
    let database = Database::new(&settings, &[]).expect("a database");
    let (long, short) = (Duration::from_secs(20), Duration::from_millis(100));
    // The service learns how long the connection is used at a time.
    for _ in 0..20 {
        sleep(&database, 0.1, long).await.expect("it is idle");
    }
    let (running, waiting) = (pin!(sleep(&database, 1.0, long)), pin!(sleep(&database, 0.0, long)));
    let mut both = pin!(future::join(running, waiting));
    let refused = tokio::select! {
        biased;
        both = &mut both => panic!("one runs for a second, and the other waits for it: {both:?}"),
        refused = async { sleep(&database, 0.0, short).await } => refused,
    };
    assert!(matches!(refused, Err(DatabaseError::Overloaded)), "{refused:?}");
    assert!(matches!(database.admit(short), Err(DatabaseError::Overloaded)));
    database.admit(long).expect("there is time to wait");
    let (running, waiting) = both.await;
    running.expect("it had the connection");
    waiting.expect("it had the time");
    database.admit(short).expect("the connection is idle");
    database.close().await;
}
