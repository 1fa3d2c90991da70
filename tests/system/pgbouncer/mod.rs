//! PgBouncer between the services and PostgreSQL: the modes that work, and those that are refused at the start.

mod pooler;

use std::time::Duration;

use futures::future::join_all;
use secrecy::SecretString;
use teppan_shared::{config::CommonSettings, keys::Keys, service::Definition};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation},
    launch::binary,
};
use tokio::process::Command;

use self::pooler::{BY_SESSION, BY_TRANSACTION, PgBouncer, Setting};
use crate::{environment, journey};

/// More calls than the services have connections at first.
const AT_ONCE: usize = 16;

/// What a command of the service's program prints before it fails.
async fn failure(definition: &Definition, command: &str, url: &SecretString) -> String {
    let mut service = Command::new(binary(definition.name));
    service.arg(command).envs(environment::with_keys(url)).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_mins(1), service.output()).await.expect("the process ends");
    let output = output.expect("the binary is built: cargo build --workspace --bins");
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    assert_eq!(output.status.code(), Some(1), "{command}: {printed}");
    printed
}

/// The SQL statements in the error.
fn statements(printed: &str) -> String {
    let from = printed.find("ALTER ROLE").unwrap_or_else(|| panic!("no statements: {printed}"));
    let to = printed.rfind("';").unwrap_or_else(|| panic!("no statements: {printed}"));
    printed[from..=to].to_owned()
}

/// Runs the statements that the service prints when the pooler drops its settings.
async fn set_for_role(definition: &Definition, url: &SecretString, through: &SecretString) {
    let printed = failure(definition, "serve", through).await;
    for name in ["statement_timeout", "enable_seqscan", "plan_cache_mode", "client_connection_check_interval"] {
        assert!(printed.contains(name), "{name} is not named: {printed}");
    }
    let statements = statements(&printed);
    harness::execute(url, sqlx::AssertSqlSafe(statements)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_services_work_through_a_pooler_by_session_once_the_role_has_the_settings_that_their_error_names() {
    let booking_url = harness::database(&booking_service::app::DEFINITION).await;
    let conversation_url = harness::database(&conversation_service::app::DEFINITION).await;
    let Some(booking_pooler) = PgBouncer::start(&booking_url, BY_SESSION).await else { return };
    let Some(conversation_pooler) = PgBouncer::start(&conversation_url, BY_SESSION).await else { return };
    tokio::join!(
        set_for_role(&booking_service::app::DEFINITION, &booking_url, &booking_pooler.url),
        set_for_role(&conversation_service::app::DEFINITION, &conversation_url, &conversation_pooler.url),
    );
    // The pooler's open connections still have the old settings.
    drop((booking_pooler, conversation_pooler));
    let booking_pooler = PgBouncer::start(&booking_url, BY_SESSION).await.expect("PgBouncer is installed");
    let conversation_pooler = PgBouncer::start(&conversation_url, BY_SESSION).await.expect("PgBouncer is installed");

    let (keys, url) = (Keys::random(), booking_pooler.url.clone());
    let booking = Booking::with(as_by_default(&url, &keys), url, keys).await.ready().await;
    let (keys, url) = (Keys::random(), conversation_pooler.url.clone());
    let conversation = Conversation::with(as_by_default(&url, &keys), url, keys).await.ready().await;
    let venue = journey::a_chat_becomes_a_booking_in(booking.clients.clone(), conversation.client.clone()).await;
    let made = join_all((0..AT_ONCE).map(|_| {
        let (mut clients, request) = (booking.clients.clone(), fixtures::booking(&venue, 1));
        async move {
            let first = clients.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
            let again = clients.bookings.create_booking(request).await.expect("replayed").into_inner();
            assert!(again.replayed && again.booking.map(|b| b.booking_id) == first.booking.map(|b| b.booking_id));
        }
    }));
    made.await;
    booking.service.stop().await;
    conversation.service.stop().await;
}

/// The harness's settings, with the request timeout that the role is set for.
fn as_by_default(url: &SecretString, keys: &Keys) -> CommonSettings {
    let mut settings = harness::settings(url.clone(), keys);
    settings.server.request_timeout = Duration::from_secs(10);
    settings
}

async fn refused(setting: Setting, expected: &[&str]) {
    for definition in [booking_service::app::DEFINITION, conversation_service::app::DEFINITION] {
        let url = harness::database(&definition).await;
        let Some(pooler) = PgBouncer::start(&url, setting).await else { return };
        let printed = failure(&definition, "serve", &pooler.url).await;
        for expected in expected {
            assert!(printed.contains(expected), "{} does not print {expected}: {printed}", definition.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_refuses_the_settings_of_connections_is_named_with_its_setting() {
    let strict = Setting { ignored: "search_path", ..BY_SESSION };
    refused(strict, &["pooler", "ignore_startup_parameters = extra_float_digits,options"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_by_transaction_that_loses_prepared_statements_is_refused_at_the_start() {
    for definition in [booking_service::app::DEFINITION, conversation_service::app::DEFINITION] {
        let url = harness::database(&definition).await;
        let Some(pooler) = PgBouncer::start(&url, BY_SESSION).await else { return };
        set_for_role(&definition, &url, &pooler.url).await;
        drop(pooler);
        let pooler = PgBouncer::start(&url, BY_TRANSACTION).await.expect("PgBouncer is installed");
        let printed = failure(&definition, "serve", &pooler.url).await;
        for expected in ["does not keep prepared statements", "pool_mode = session", "max_prepared_statements"] {
            assert!(printed.contains(expected), "{} does not print {expected}: {printed}", definition.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_one_connection_also_detects_a_pooler_by_transaction() {
    let definition = booking_service::app::DEFINITION;
    let url = harness::database(&definition).await;
    let Some(pooler) = PgBouncer::start(&url, BY_SESSION).await else { return };
    set_for_role(&definition, &url, &pooler.url).await;
    drop(pooler);
    let pooler = PgBouncer::start(&url, BY_TRANSACTION).await.expect("PgBouncer is installed");
    let mut service = Command::new(binary(definition.name));
    service.envs(environment::with_keys(&pooler.url)).kill_on_drop(true);
    service.envs([("DATABASE_MAX_CONNECTIONS", "1"), ("DATABASE_MIN_CONNECTIONS", "1")]);
    let output = tokio::time::timeout(Duration::from_mins(1), service.output()).await.expect("the process ends");
    let printed = String::from_utf8(output.expect("the process runs").stderr).expect("text");
    assert!(printed.contains("does not keep prepared statements"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_not_applied_through_a_pooler_by_transaction() {
    let definition = booking_service::app::DEFINITION;
    let url = harness::database(&definition).await;
    let Some(pooler) = PgBouncer::start(&url, BY_TRANSACTION).await else { return };
    let printed = failure(&definition, "migrate", &pooler.url).await;
    assert!(printed.contains("DATABASE_URL that leads to PostgreSQL itself"), "{printed}");
}
