//! Readiness: the service can answer calls when the database is available, its migrations are applied, and the service
//! is not stopping.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, global};
use strum::VariantArray as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    error_chain::error_chain,
    postgres::{Condition, Database, MigrationError, Probe},
};

/// Readiness follows the database within 2 s: a check every half second, which may take one second.
const INTERVAL: Duration = Duration::from_millis(500);
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the service waits for its first connections before the regular checks begin.
const FIRST_CONNECTIONS: Duration = Duration::from_secs(10);
/// The time limit of a check of the migrations or of a pooler, because a database that drops packets gives no error. It
/// exceeds the time limit for opening a connection.
const PREPARING: Duration = Duration::from_secs(12);

/// Whether the service can answer calls. Cheap to clone.
#[derive(Clone)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
enum State {
    Starting,
    Ready,
    DatabaseUnavailable,
    /// The command `migrate` has to apply the migrations, and has not applied all of them.
    AwaitingMigrations,
    /// The encoding of the database is not UTF8: an operator has to create another database.
    WrongEncoding,
    DatabaseReadOnly,
    DatabaseFull,
    /// A migration cannot be applied, or a pooler breaks the connections. Waiting does not help.
    #[strum(serialize = "cannot_start")]
    Broken,
    Draining,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::Starting)))
    }
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == State::Ready
    }

    /// The state in a few words.
    pub fn describe(&self) -> &'static str {
        match *self.0.borrow() {
            State::Starting => "starting",
            State::Ready => "ready",
            State::DatabaseUnavailable => "database unavailable",
            State::AwaitingMigrations => "waiting for migrations",
            State::WrongEncoding => "the encoding of the database is not UTF8",
            State::DatabaseReadOnly => "database read-only",
            State::DatabaseFull => "database out of disk or memory",
            State::Broken => "the service cannot start",
            State::Draining => "draining",
        }
    }

    /// Exports the state as a metric.
    pub(super) fn observe(&self) {
        let state = Arc::downgrade(&self.0);
        global::meter("teppan")
            .u64_observable_gauge("teppan.readiness")
            .with_description("1 for the current state of the service, 0 for the others.")
            .with_callback(move |gauge| {
                let Some(state) = state.upgrade() else { return };
                let current = *state.borrow();
                for &state in State::VARIANTS {
                    gauge.observe(u64::from(state == current), &[KeyValue::new("state", state.into_str())]);
                }
            })
            .build();
    }

    /// Waits until the service is ready; `false` when it never will be.
    pub async fn ready(&self) -> bool {
        let mut state = self.0.subscribe();
        let settled = state.wait_for(|s| matches!(s, State::Ready | State::Broken | State::Draining)).await;
        settled.is_ok_and(|state| *state == State::Ready)
    }

    /// Returns when it is certain that the service cannot start.
    pub async fn broken(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|state| *state == State::Broken).await;
    }

    /// Makes the service not ready for good.
    pub fn drain(&self) {
        self.0.send_replace(State::Draining);
    }

    /// Sets the state; `true` when it changed. A draining service stays draining.
    fn set(&self, new: State) -> bool {
        self.0.send_if_modified(|state| {
            let changes = *state != State::Draining && *state != new;
            if changes {
                *state = new;
            }
            changes
        })
    }
}

/// The migrations that have to be applied before the service is ready.
#[derive(Clone, Copy)]
pub struct Migrations {
    pub migrator: &'static sqlx::migrate::Migrator,
    /// Whether this service applies them. Otherwise it waits until the command `migrate` has applied them.
    pub at_start: bool,
}

/// Applies the migrations when the database is available, or waits until they are applied. Opens connections. Then
/// checks the database at intervals.
pub async fn follow(
    readiness: Readiness,
    database: Database,
    migrations: Migrations,
    health: HealthReporter,
    services: &'static [&'static str],
    stopping: CancellationToken,
) {
    let follow = async {
        let mut probe = database.probe();
        prepare(&readiness, &database, migrations, &mut probe).await;
        let mut was_ready = false;
        loop {
            let condition = probe.check(CHECK_TIMEOUT).await;
            let state = state_of(condition, &database);
            if readiness.set(state) {
                let ready = state == State::Ready;
                report_health(&health, services, ready).await;
                // The service may have begun to drain meanwhile. Then it must stay NOT_SERVING.
                if !readiness.is_ready() {
                    report_health(&health, services, false).await;
                }
                if ready {
                    if was_ready {
                        database.check_idle();
                    }
                    was_ready = true;
                    tracing::info!("ready");
                } else {
                    tracing::warn!(reason = readiness.describe(), "not ready; waiting for the database");
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    // Dropping `follow` leaves nothing half done: each migration is one transaction.
    tokio::select! {
        () = follow => {}
        () = stopping.cancelled() => {}
    }
}

fn state_of(condition: Condition, database: &Database) -> State {
    match condition {
        Condition::Writable if database.is_usable() => State::Ready,
        // `Writable`: the server answers the probe, but accepts no other connections.
        Condition::Writable | Condition::Unavailable => State::DatabaseUnavailable,
        Condition::ReadOnly => State::DatabaseReadOnly,
        Condition::OutOfResources => State::DatabaseFull,
    }
}

/// Returns when the migrations are applied and connections are open; never when that is impossible. Logs the time of
/// both steps, which can be seconds when the database is far away.
async fn prepare(readiness: &Readiness, database: &Database, migrations: Migrations, probe: &mut Probe) {
    let since = Instant::now();
    migrate(readiness, database, migrations, probe).await;
    let migrations_ms = since.elapsed().as_millis();
    let since = Instant::now();
    // If the database becomes unavailable now, the regular checks report it.
    let _ = timeout(FIRST_CONNECTIONS, database.keep_warm()).await;
    check_pooler(readiness, probe).await;
    tracing::info!(migrations_ms, connections_ms = since.elapsed().as_millis(), "the database is prepared");
}

/// Returns when the migrations are applied; never when that is impossible.
async fn migrate(readiness: &Readiness, database: &Database, migrations: Migrations, probe: &mut Probe) {
    let Migrations { migrator, at_start } = migrations;
    loop {
        let checked = timeout(PREPARING, probe.has_applied(migrator)).await;
        let migrated = match checked.unwrap_or_else(|_| Err(timed_out().into())) {
            Ok(true) => return,
            Ok(false) if at_start => database.migrate(migrator).await,
            Ok(false) => {
                if readiness.set(State::AwaitingMigrations) {
                    tracing::warn!("the database lacks migrations; waiting until the command migrate has applied them");
                }
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            Err(error) => Err(error),
        };
        match migrated {
            Ok(()) => return,
            Err(error) if error.is_unavailable() => {
                if readiness.set(State::DatabaseUnavailable) {
                    tracing::warn!(error = error_chain(&error), "the database cannot be used yet; waiting for it");
                }
                tokio::time::sleep(INTERVAL).await;
            }
            Err(error @ MigrationError::WrongEncoding(_)) => {
                if readiness.set(State::WrongEncoding) {
                    tracing::error!(
                        error = error_chain(&error),
                        "the database cannot be used; waiting for another one"
                    );
                }
                tokio::time::sleep(INTERVAL).await;
            }
            Err(error) => {
                tracing::error!(error = error_chain(&error), "the service cannot start");
                readiness.set(State::Broken);
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Returns when a pooler, if there is one, supports what the service needs; never when it does not.
async fn check_pooler(readiness: &Readiness, probe: &mut Probe) {
    loop {
        let checked = timeout(PREPARING, probe.check_pooler()).await;
        match checked.unwrap_or_else(|_| Err(timed_out().into())) {
            Ok(()) => return,
            Err(error) if error.is_unavailable() => {
                if readiness.set(State::DatabaseUnavailable) {
                    tracing::warn!(error = error_chain(&error), "the database cannot be used yet; waiting for it");
                }
                tokio::time::sleep(INTERVAL).await;
            }
            Err(error) => {
                tracing::error!(error = error_chain(&error), "the service cannot start");
                readiness.set(State::Broken);
                std::future::pending::<()>().await;
            }
        }
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

/// Reports the state to health clients.
pub async fn report_health(health: &HealthReporter, services: &[&str], serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in services.iter().chain(&[""]) {
        health.set_service_status(service, status).await;
    }
}
