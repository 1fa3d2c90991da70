//! A database that answers but cannot work: read-only, out of disk space, or without a free connection.

use std::{fs, path::Path, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use teppan_shared::{
    config::CommonSettings,
    embedded::{Durability, ThrowawayServer},
    keys::Keys,
};
use teppan_tests::{
    clients, fixtures,
    harness::{self, Conversation},
    small_disk::SmallDisk,
};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::errors::kind;

const DATABASE: &str = "conversations";

/// Starts a PostgreSQL server of its own. Returns it and the URL of the service's database.
async fn server() -> (ThrowawayServer, SecretString) {
    let server = ThrowawayServer::start(&harness::home(), Durability::Volatile).await.expect("a server of its own");
    server.ensure_database(DATABASE).await.expect("a database");
    let url = server.url(DATABASE);
    (server, url)
}

async fn service(url: &SecretString) -> Conversation {
    let keys = Keys::random();
    Conversation::with(settings_for(url, &keys), url.clone(), keys).await
}

fn settings_for(url: &SecretString, keys: &Keys) -> CommonSettings {
    let mut settings = harness::settings(url.clone(), keys);
    settings.database_limits.max_connections = 4;
    settings.database_limits.acquire_timeout = Duration::from_secs(2);
    settings
}

async fn store(conversation: &Conversation, content: &str) -> Result<(), Status> {
    let message = fixtures::message(&fixtures::conversation_id(), content);
    conversation.client.clone().store_message(message).await.map(|_| ())
}

/// Asserts that the status allows a retry and gives a delay.
fn assert_retryable(status: &Status) {
    assert_eq!(kind(status), (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()));
    assert!(status.get_details_retry_info().expect("a RetryInfo").retry_delay.is_some());
}

/// Waits until readiness reports this reason and health reports NOT_SERVING.
async fn until_not_ready(conversation: &Conversation, reason: &str) {
    let server = &conversation.service.server;
    harness::eventually(reason, async || server.readiness().describe() == reason).await;
    let mut health = HealthClient::new(clients::channel(server.grpc_addr));
    harness::eventually("health reports NOT_SERVING", async || {
        let answer = health.check(HealthCheckRequest::default()).await.expect("health answers");
        answer.into_inner().status() == ServingStatus::NotServing
    })
    .await;
}

async fn until_ready(conversation: &Conversation) {
    harness::eventually("ready", async || conversation.service.server.readiness().is_ready()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_not_ready_while_its_database_is_read_only() {
    let (server, url) = server().await;
    let conversation = service(&url).await.ready().await;
    for _ in 0..2 {
        store(&conversation, "Hello").await.expect("stored");
        harness::execute(&url, "ALTER SYSTEM SET default_transaction_read_only = on").await;
        harness::execute(&url, "SELECT pg_reload_conf()").await;
        until_not_ready(&conversation, "database read-only").await;
        assert_retryable(&store(&conversation, "Hello").await.expect_err("read only"));
        // ALTER SYSTEM must be the only statement of its transaction.
        let mut writable = harness::connect(&url).await;
        for sql in ["SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only"] {
            sqlx::raw_sql(sql).execute(&mut writable).await.expect("a superuser may change settings");
        }
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut writable).await.expect("reloaded");
        until_ready(&conversation).await;
    }
    store(&conversation, "Hello").await.expect("stored");
    conversation.service.stop().await;
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_not_ready_while_its_database_is_a_standby() {
    let (server, url) = server().await;
    let conversation = service(&url).await.ready().await;
    store(&conversation, "Hello").await.expect("stored");
    let data: String = harness::scalar(&url, "SELECT current_setting('data_directory')").await;
    server.stop().await.expect("it stops");
    fs::File::create(Path::new(&data).join("standby.signal")).expect("the folder can be written to");
    server.restart().await.expect("it starts as a standby");

    until_not_ready(&conversation, "database read-only").await;
    assert_retryable(&store(&conversation, "Hello").await.expect_err("a standby"));
    let another = service(&url).await;
    until_not_ready(&another, "database read-only").await;

    assert!(harness::scalar::<bool>(&url, "SELECT pg_promote()").await);
    for replica in [conversation, another] {
        until_ready(&replica).await;
        store(&replica, "Hello").await.expect("stored");
        replica.service.stop().await;
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_not_ready_while_its_database_has_no_free_connection() {
    let (server, url) = server().await;
    service(&url).await.ready().await.service.stop().await; // creates the tables
    harness::execute(&url, "ALTER SYSTEM SET max_connections = 8").await;
    server.stop().await.expect("it stops");
    server.restart().await.expect("it starts");
    let mut others = Vec::new();
    while let Ok(other) = connect(&url).await {
        others.push(other);
    }
    assert!((4..=8).contains(&others.len()), "{}", others.len());

    let conversation = service(&url).await;
    until_not_ready(&conversation, "database unavailable").await;
    assert_retryable(&store(&conversation, "Hello").await.expect_err("no connection"));
    // One connection serves the readiness probe, so a second one is needed for calls.
    drop(others.pop());
    drop(others.pop());
    until_ready(&conversation).await;
    store(&conversation, "Hello").await.expect("stored");
    // The service's open connections still work when no further one can be opened.
    while let Ok(other) = connect(&url).await {
        others.push(other);
    }
    let calls = futures::future::join_all((0..8).map(|_| store(&conversation, "Hello"))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    drop(others);
    conversation.service.stop().await;
    server.close().await;
}

async fn connect(url: &SecretString) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(url.expose_secret()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_momentary_database_failure_is_retryable_and_leaves_the_service_ready() {
    let conversation = Conversation::start().await.ready().await;
    // Insufficient resources, full disk, out of memory, limit exceeded; I/O error; idle session, shutdown, startup.
    for code in ["53000", "53100", "53200", "53400", "58030", "57P05", "57P01", "57P03"] {
        let fail = format!(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN RAISE EXCEPTION USING ERRCODE = ''{code}''; END';
             CREATE TRIGGER fail BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fail()"
        );
        harness::execute(&conversation.url, sqlx::AssertSqlSafe(fail)).await;
        assert_retryable(&store(&conversation, "Hello").await.expect_err(code));
        harness::execute(&conversation.url, "DROP TRIGGER fail ON messages; DROP FUNCTION fail()").await;
        store(&conversation, "Hello").await.expect(code);
    }
    assert!(conversation.service.server.readiness().is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_not_ready_while_the_disk_of_its_database_is_full() {
    let Some(disk) = SmallDisk::of(110) else { return };
    let server = ThrowawayServer::start_in(disk.folder(), &harness::home(), Durability::Volatile).await;
    let server = server.expect("a server on the small disk");
    server.ensure_database(DATABASE).await.expect("a database");
    let conversation = service(&server.url(DATABASE)).await.ready().await;
    let long = "Is there a table by the window? ".repeat(1000);
    store(&conversation, &long).await.expect("stored");

    disk.fill();
    // Messages that still fit into the free part of a page are stored.
    let mut refused = None;
    for _ in 0..100 {
        if let Err(status) = store(&conversation, &long).await {
            refused = Some(status);
            break;
        }
    }
    assert_retryable(&refused.expect("the disk is full"));
    until_not_ready(&conversation, "database out of disk or memory").await;
    assert_retryable(&store(&conversation, &long).await.expect_err("still full"));

    disk.free_space();
    until_ready(&conversation).await;
    store(&conversation, &long).await.expect("stored");
    conversation.service.stop().await;
    server.close().await;
}
