//! The migrated schema, and databases to which the migrations cannot be applied.

use std::time::Duration;

use futures::future::join_all;
use secrecy::SecretString;
use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use teppan_shared::{
    contract::booking::v1::GetBookingRequest,
    keys::Keys,
    postgres::{Database, DatabaseSettings},
    service::Definition,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking, Conversation},
    launch::binary,
};
use tokio::process::Command;

use crate::{environment, health::get, logs::log_of};

/// Newer minor releases of PostgreSQL refuse to add a column with a default to a table whose row type is a parameter
/// of such a function, so the next migration would fail.
#[tokio::test(flavor = "multi_thread")]
async fn no_function_with_a_parsed_body_has_a_parameter_of_a_tables_row_type() {
    let parsed = "SELECT coalesce(string_agg(DISTINCT p.proname, ' '), '')
                  FROM pg_proc p
                  CROSS JOIN LATERAL unnest(p.proargtypes) AS argument
                  JOIN pg_type t ON t.oid = argument
                  WHERE p.prosqlbody IS NOT NULL AND p.pronamespace = 'public'::regnamespace AND t.typrelid <> 0";
    for definition in [&booking_service::app::DEFINITION, &conversation_service::app::DEFINITION] {
        let url = harness::database(definition).await;
        assert_eq!(harness::scalar::<String>(&url, parsed).await, "", "{}", definition.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_takes_another_column_with_a_default() {
    let add = "DO $$
        DECLARE t regclass;
        BEGIN
            FOR t IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
                EXECUTE format('ALTER TABLE %s ADD COLUMN added_later integer NOT NULL DEFAULT 0', t);
            END LOOP;
        END $$";
    for definition in [&booking_service::app::DEFINITION, &conversation_service::app::DEFINITION] {
        let url = harness::database(definition).await;
        harness::execute(&url, add).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_other_migrations_is_refused_with_instructions_and_left_unchanged() {
    for definition in [&booking_service::app::DEFINITION, &conversation_service::app::DEFINITION] {
        let url = harness::database(definition).await;
        harness::execute(&url, "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1").await;
        for command in ["migrate", "serve"] {
            let mut service = Command::new(binary(definition.name));
            service.arg(command).envs(environment::with_keys(&url)).kill_on_drop(true);
            service.envs([("LISTEN_ADDR", "127.0.0.1:0"), ("HTTP_ADDR", "127.0.0.1:0")]);
            let output =
                tokio::time::timeout(Duration::from_mins(1), service.output()).await.expect("the process ends");
            let output = output.expect("the binary is built: cargo build --workspace --bins");
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8_lossy(&printed);
            assert_eq!(output.status.code(), Some(1), "{command}: {printed}");
            for expected in ["before the first release", "DATABASE_URL", "remove the folder `postgres` in TEPPAN_HOME"]
            {
                assert!(printed.contains(expected), "{command} does not print {expected}: {printed}");
            }
        }
        let kept = "SELECT count(*) FROM _sqlx_migrations WHERE checksum = '\\x00'";
        assert_eq!(harness::scalar::<i64>(&url, kept).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_migrate_at_start_creates_no_table_and_is_ready_after_the_command_migrate() {
    let server = harness::postgres().await;
    let create = "CREATE DATABASE migrated_by_the_command";
    harness::execute(&server.url("postgres"), AssertSqlSafe(create.to_owned())).await;
    let url = server.url("migrated_by_the_command");
    log_of(&url, &[("MIGRATE_AT_START", "false")], async |service| {
        service.until_logged("waiting until the command migrate has applied them").await;
        let (code, body) = get(service.http, "/readyz").await;
        assert!(code == 503 && body.contains("waiting for migrations"), "{body}");
        assert_eq!(get(service.http, "/livez").await.0, 200);
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(harness::scalar::<i64>(&url, tables).await, 0);

        let migrate =
            Command::new(binary("booking-service")).arg("migrate").envs(environment::with_keys(&url)).status();
        assert!(migrate.await.expect("the binary is built: cargo build --workspace --bins").success());
        harness::eventually("ready", async || get(service.http, "/readyz").await.0 == 200).await;
    })
    .await;
    harness::drop_database(&url).await;
}

/// The migrations of the next version.
fn next(definition: &Definition, sql: &'static str) -> Migrator {
    let next = Migration::new(9999, "next".into(), MigrationType::Simple, sql.into_sql_str(), false);
    Migrator::with_migrations(definition.migrator.iter().cloned().chain([next]).collect())
}

async fn migrate(url: &SecretString, migrator: &Migrator) {
    let settings = DatabaseSettings {
        name: "test",
        url: url.clone(),
        max_connections: 1,
        min_connections: 1,
        acquire_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(30),
    };
    let database = Database::new(&settings, &[]).expect("a database");
    database.migrate(migrator).await.expect("the migrations apply");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_behind_a_long_transaction_blocks_no_call_and_is_applied_when_the_transaction_ends() {
    let definition = conversation_service::app::DEFINITION;
    let url = harness::database(&definition).await;
    let mut long = harness::connect(&url).await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM messages").execute(&mut long).await.expect("it reads");
    let migrator = next(&definition, "ALTER TABLE messages ADD COLUMN added_later integer");
    let migrated = migrate(&url, &migrator);
    let others = async {
        let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'messages'::regclass AND NOT granted)";
        for _ in 0..2 {
            harness::eventually("the migration waits", async || harness::scalar::<bool>(&url, waiting).await).await;
            // This query queues behind the migration, which gives up before the long transaction ends.
            assert_eq!(harness::scalar::<i64>(&url, "SELECT count(*) FROM messages").await, 0);
        }
        sqlx::raw_sql("COMMIT").execute(&mut long).await.expect("the process ends");
    };
    tokio::join!(migrated, others);
    let added = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'added_later'";
    assert_eq!(harness::scalar::<i64>(&url, added).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_starts_on_a_newer_schema_and_leaves_it_unchanged() {
    let definition = conversation_service::app::DEFINITION;
    let url = harness::database(&definition).await;
    migrate(&url, &next(&definition, "CREATE TABLE of_the_next_version (id integer)")).await;
    let older = Conversation::over(url.clone(), Keys::random()).await.ready().await;
    older.service.stop().await;
    migrate(&url, definition.migrator).await;
    assert_eq!(harness::scalar::<i64>(&url, "SELECT count(*) FROM of_the_next_version").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_a_later_version_adds_fails_no_call() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    let venue_id = fixtures::venue(&mut clients, 20).await.expect("a venue").venue_id;
    let book = async |mut clients: BookingClients| {
        clients.bookings.create_booking(fixtures::booking(&venue_id, 1)).await.expect("booked").into_inner()
    };
    for column in ["added_first", "added_later"] {
        // Several connections have prepared the statements.
        join_all((0..4).map(|_| book(clients.clone()))).await;
        let add = format!("ALTER TABLE bookings ADD COLUMN {column} integer");
        sqlx::raw_sql(AssertSqlSafe(add)).execute(&mut harness::connect(&booking.url).await).await.expect("added");
        let made = book(clients.clone()).await.booking.expect("a booking");
        let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
        let read = clients.bookings.get_booking(get).await.expect("read").into_inner().booking;
        assert_eq!(read, Some(made));
    }
}
