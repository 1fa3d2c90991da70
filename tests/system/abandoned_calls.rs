//! When a call times out or its client disconnects, its statement is cancelled and its connection is used again.

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

/// A service behind a proxy, a venue, and a transaction that locks the venue's slots.
struct LockedSlots {
    proxy: Proxy,
    booking: Booking,
    /// URL of the database without the proxy.
    direct_url: SecretString,
    venue: String,
    locker: PgConnection,
}

async fn locked_slots() -> LockedSlots {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let postgres = harness::database_address(&harness::postgres().await.url("postgres"));
    let direct_url = harness::through(&booking.url, postgres);
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue").venue_id;
    let mut locker = harness::connect(&direct_url).await;
    lock(&mut locker, &venue).await;
    LockedSlots { proxy, booking, direct_url, venue, locker }
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

/// The number of statements that wait for a lock.
async fn waiting_for_a_lock(url: &SecretString) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'";
    harness::scalar(url, waiting).await
}

async fn until_nothing_waits(url: &SecretString) {
    harness::eventually("no statement waits", async || waiting_for_a_lock(url).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_cancelled_when_its_call_times_out_and_its_connection_is_used_again() {
    let LockedSlots { proxy, booking, direct_url, venue, mut locker } = locked_slots().await;
    for _ in 0..3 {
        let status = book(&booking, &venue, DEADLINE).await.expect_err("the slot is locked");
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        until_nothing_waits(&direct_url).await;
    }
    // Connections of calls, of readiness, and one that cancels statements.
    let opened = proxy.opened();
    assert_eq!(proxy.connections() as u64, opened, "no connection was closed");
    sqlx::raw_sql("ROLLBACK").execute(&mut locker).await.expect("the slots are free");
    book(&booking, &venue, Duration::from_secs(20)).await.expect("booked");
    assert_eq!(proxy.opened(), opened, "no connection was opened");
    assert_eq!(
        harness::scalar::<i64>(&direct_url, "SELECT count(*) FROM bookings").await,
        1,
        "cancelled statements wrote nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_cancelled_when_its_client_disconnects() {
    let LockedSlots { proxy: _proxy, booking, direct_url, venue, locker: _locker } = locked_slots().await;
    let call = book(&booking, &venue, Duration::from_secs(25));
    tokio::select! {
        answer = call => panic!("the slot is locked: {answer:?}"),
        () = harness::eventually("the statement waits", async || waiting_for_a_lock(&direct_url).await == 1) => {}
    }
    until_nothing_waits(&direct_url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_locked_slot_do_not_keep_connections_from_other_calls() {
    let LockedSlots { proxy, mut booking, direct_url, venue, locker: _locker } = locked_slots().await;
    let other = fixtures::venue(&mut booking.clients, 100).await.expect("another venue").venue_id;
    for _ in 0..3 {
        // More calls than the pool has connections.
        let calls = join_all((0..30).map(|_| book(&booking, &venue, DEADLINE)));
        assert!(calls.await.iter().all(Result::is_err));
        book(&booking, &other, Duration::from_secs(20)).await.expect("booked");
    }
    until_nothing_waits(&direct_url).await;
    // At most ten for calls, one for readiness, and one that cancels statements. None was closed and replaced.
    assert!(proxy.opened() <= 12, "{}", proxy.opened());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_its_slot_queue_does_not_admit_in_time_is_refused_as_retryable() {
    let LockedSlots { proxy: _proxy, booking, direct_url, venue, mut locker } = locked_slots().await;
    // The slot's queue admits two bookings at a time.
    let first = (book(&booking, &venue, Duration::from_secs(20)), book(&booking, &venue, Duration::from_secs(20)));
    let mut both = pin!(future::join(first.0, first.1));
    tokio::select! {
        both = &mut both => panic!("the slot is locked: {both:?}"),
        () = harness::eventually("both wait for the lock", async || waiting_for_a_lock(&direct_url).await == 2) => {}
    }
    let refused =
        book(&booking, &venue, Duration::from_secs(2)).await.expect_err("the queue does not admit it in time");
    assert_eq!(status::reason(&refused), "OVERLOADED", "{refused:?}");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut locker).await.expect("the slots are free");
    let (one, other) = both.await;
    one.expect("booked");
    other.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_synchronous_standby_is_not_cancelled_or_disconnected() {
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
    // Make commits wait for a standby that does not exist.
    let mut operator = harness::connect(&url).await;
    sqlx::raw_sql("SET synchronous_commit = local").execute(&mut operator).await.expect("set");
    set_standbys(&mut operator, "ALTER SYSTEM SET synchronous_standby_names = 'missing'").await;
    harness::eventually("commits wait", async || {
        harness::scalar::<String>(&url, "SHOW synchronous_standby_names").await == "missing"
    })
    .await;

    let status = store(DEADLINE).await.expect_err("no standby answers");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()";
    assert_eq!(harness::scalar::<i64>(&url, waiting).await, 1);
    // The service runs this query only after it has tried to cancel the statement and then to close its connection.
    let checking =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT EXISTS%SyncRep%' AND pid <> pg_backend_pid()";
    harness::eventually("the service checks the waiting statement", async || {
        harness::scalar::<i64>(&url, checking).await > 0
    })
    .await;
    assert_eq!(harness::scalar::<i64>(&url, waiting).await, 1, "the statement still waits");
    let visible = "SELECT count(*) FROM messages";
    assert_eq!(harness::scalar::<i64>(&url, visible).await, 0, "a commit that is not on the standby is not visible");

    set_standbys(&mut operator, "ALTER SYSTEM RESET synchronous_standby_names").await;
    assert!(store(Duration::from_secs(20)).await.expect("stored").replayed, "the first call had committed");
    operator.close().await.expect("closed");
    conversation.service.stop().await;
    server.close().await;
}

async fn set_standbys(operator: &mut PgConnection, change: &'static str) {
    for sql in [change, "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sql).execute(&mut *operator).await.expect("a superuser may change settings");
    }
}

/// Runs a statement that takes `seconds`, in a call with `left` until its deadline.
async fn sleep(database: &Database, seconds: f64, left: Duration) -> Result<bool, DatabaseError> {
    let sleeping = database.fetch_one(|| {
        let statement = sqlx::query("SELECT pg_sleep($1) IS NULL").bind(seconds);
        statement.try_map(|row| sqlx::Row::try_get(&row, 0))
    });
    postgres::in_time(Instant::now() + left, sleeping).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_get_a_connection_before_its_deadline_is_refused_at_once() {
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
    // The pool learns from these statements how long each use of the connection takes.
    for _ in 0..20 {
        sleep(&database, 0.1, long).await.expect("the connection is idle");
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
    database.admit(long).expect("the call has enough time to wait");
    let (running, waiting) = both.await;
    running.expect("this call had the connection");
    waiting.expect("this call had enough time");
    database.admit(short).expect("the connection is idle");
    database.close().await;
}
