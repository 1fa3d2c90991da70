//! The start and the stop of a service: database, servers and background tasks.

mod open_database;

use std::{io, process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;

pub use self::open_database::OpenDatabase;
use crate::{
    config::{CommonSettings, DatabaseChoice, Misspelt, Problems},
    embedded::{self, EmbeddedError, Supervisor},
    keys::KeysError,
    postgres::{DatabaseError, MigrationError, UrlFault},
    reloaded::FileFault,
    server::{GrpcParts, Parts, Server},
    tasks::{StopSignals, Tasks},
    telemetry::{Build, Telemetry, TelemetryError},
    time_zone::Rules,
    worker::{self, Job, Nudge},
};

/// The exit code for invalid settings, the same as for an invalid command line.
const BAD_SETTINGS: u8 = 2;
/// The properties in which the services differ.
#[derive(Clone, Copy)]
pub struct Definition {
    /// Such as `booking-service`.
    pub name: &'static str,
    /// Its database on the private server.
    pub database: &'static str,
    pub build: Build,
    pub migrator: &'static sqlx::migrate::Migrator,
    /// The statements of the hot calls, prepared when a connection opens.
    pub hot_statements: &'static [&'static str],
    /// Full names of its gRPC services.
    pub services: &'static [&'static str],
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("DATABASE_URL cannot be used")]
    Database(#[source] UrlFault),
    #[error(transparent)]
    Listen(#[from] io::Error),
    #[error(transparent)]
    File(#[from] FileFault),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error(transparent)]
    Migrate(#[from] MigrationError),
    #[error(
        "the database seems to lack migrations of {service} ({answer}). If DATABASE_URL names the database of {service}, \
         apply them with `{service} migrate`, or start the service, which applies them too"
    )]
    NotMigrated { service: &'static str, answer: String },
}

/// A running service.
pub struct Service {
    pub server: Server,
    database: OpenDatabase,
    background: Tasks,
    /// The supervisor of the private PostgreSQL.
    supervisor: Tasks,
}

impl Service {
    /// Starts the servers with an open database.
    pub async fn start(
        definition: &Definition,
        settings: &CommonSettings,
        database: OpenDatabase,
        grpc: GrpcParts,
        http: axum::Router,
        registry: Option<prometheus::Registry>,
    ) -> Result<Self, StartError> {
        let parts = Parts {
            name: definition.name,
            services: definition.services,
            grpc,
            http,
            database: database.database.clone(),
            // The readiness probe and the canceller of statements have one connection each.
            database_connections: settings.database_limits.max_connections + 2,
            migrator: definition.migrator,
            registry,
        };
        let background = Tasks::default();
        // On the heap: the tests' futures hold this one.
        let server = match Box::pin(Server::start(settings.server.clone(), parts, background.clone())).await {
            Ok(server) => server,
            Err(error) => {
                database.close().await;
                return Err(error.into());
            }
        };
        let supervisor = Tasks::default();
        if let Some(server) = &database.private_server {
            supervisor.spawn("private PostgreSQL", server.supervisor().run(supervisor.stopping()));
        }
        let ring = database.keys.ring();
        tracing::info!(seals = ring.sealing_version(), opens = ?ring.versions().collect::<Vec<_>>(), "encryption keys");
        let rules = Rules::in_force();
        tracing::info!(version = %rules.version(), "time zone rules {}", rules.source());
        rules.observe();
        tracing::info!(
            grpc = %server.grpc_addr,
            http = %server.http_addr,
            webhook = server.webhook_addr.map(tracing::field::display),
            tls = settings.server.tls.is_some(),
            "{} is listening",
            definition.name
        );
        Ok(Self { server, database, background, supervisor })
    }

    /// Runs a job in the background, from the time when the service is ready until it stops.
    pub fn work<J: Job>(&self, job: J, nudge: Nudge, interval: Duration) {
        let (readiness, stopping) = (self.server.readiness().clone(), self.background.stopping());
        self.background.spawn(J::NAME, async move {
            // Before that, its tables may be missing.
            let ready = tokio::select! {
                ready = readiness.ready() => ready,
                () = stopping.cancelled() => false,
            };
            if ready {
                worker::run(job, nudge, interval, stopping).await;
            }
        });
    }

    /// Runs work once in the background, unless the service stops first.
    pub fn do_once(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.background.stopping();
        self.background.spawn(name, async move {
            tokio::select! {
                () = work => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Cancelled when background tasks must end.
    pub fn stopping(&self) -> CancellationToken {
        self.background.stopping()
    }

    /// Stops without failing a call; see [`Server::stop`].
    pub async fn stop(self) {
        // On the heap: the tests' futures hold this one.
        Box::pin(self.stop_or_abort(&CancellationToken::new())).await;
    }

    /// [`Service::stop`]. Cancelling `at_once` cuts off running calls and workers. The private PostgreSQL is still stopped
    /// in order.
    async fn stop_or_abort(self, at_once: &CancellationToken) {
        self.server.stop(at_once).await;
        // Never cut off, because a PostgreSQL that the supervisor has just started would keep running.
        self.supervisor.stop(Supervisor::END_BOUND, &CancellationToken::new()).await;
        self.database.close().await;
    }

    /// Runs until the process gets a stop signal, or until the service cannot start (a migration cannot be applied). A
    /// second signal cuts off running calls.
    async fn until_stopped(self, signals: &mut StopSignals) -> ExitCode {
        let code = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                ExitCode::SUCCESS
            }
            () = self.server.readiness().broken() => ExitCode::FAILURE,
        };
        let at_once = CancellationToken::new();
        let stop = self.stop_or_abort(&at_once);
        tokio::pin!(stop);
        tokio::select! {
            () = &mut stop => {}
            signal = signals.next() => {
                tracing::warn!(signal, "stopping at once; running calls are cut off");
                at_once.cancel();
                stop.await;
            }
        }
        tracing::info!("stopped");
        code
    }
}

/// Makes sure that PostgreSQL's environment variables do not reach the private server. The program may execute itself
/// again for that; `Err` is the exit code when that fails.
pub fn exec_without_postgres_variables(definition: &Definition, settings: &CommonSettings) -> Result<(), ExitCode> {
    match settings.database {
        DatabaseChoice::Url(_) => Ok(()),
        DatabaseChoice::Embedded(_) => {
            embedded::exec_without_postgres_variables().map_err(|error| fail(definition, &error))
        }
    }
}

/// Prints what is wrong with the settings, and returns the exit code of the process.
pub fn refuse(definition: &Definition, problems: &Problems, misspelt: &Misspelt) -> ExitCode {
    eprint!("{}: {problems}{misspelt}", definition.name);
    ExitCode::from(BAD_SETTINGS)
}

/// Runs a service to its end, and returns the exit code of the process.
pub async fn serve(
    definition: &Definition,
    settings: &CommonSettings,
    start: impl AsyncFnOnce(Option<prometheus::Registry>) -> Result<Service, StartError>,
) -> ExitCode {
    let telemetry = match Telemetry::start(definition.name, definition.build, &settings.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(definition, &error),
    };
    // Signals are received from here on. A signal during the start stops the service after it has started, so that
    // everything that it started is stopped in order.
    let code = match StopSignals::receive() {
        Err(error) => fail(definition, &error),
        Ok(mut signals) => match start(telemetry.registry.clone()).await {
            Ok(service) => service.until_stopped(&mut signals).await,
            Err(error) => fail(definition, &error),
        },
    };
    telemetry.shutdown();
    code
}

/// Applies the missing migrations, and returns the exit code of the process.
pub async fn migrate(definition: &Definition, settings: &CommonSettings) -> ExitCode {
    // Before the private PostgreSQL is started: a signal must not leave it running.
    let mut signals = match StopSignals::receive() {
        Ok(signals) => signals,
        Err(error) => return fail(definition, &error),
    };
    on_database(definition, settings, async |open| {
        tokio::select! {
            migrated = open.database.migrate(definition.migrator) => migrated?,
            signal = signals.next() => return Err(StartError::Interrupted(signal)),
        }
        println!("The database of {} is up to date.", definition.name);
        Ok(())
    })
    .await
}

/// Runs an operator's command on the database, without a server, and returns the exit code of the process.
pub async fn on_database<E: std::error::Error + 'static>(
    definition: &Definition,
    settings: &CommonSettings,
    work: impl AsyncFnOnce(&OpenDatabase) -> Result<(), E>,
) -> ExitCode {
    let open = match OpenDatabase::open(definition, settings).await {
        Ok(open) => open,
        Err(error) => return fail(definition, &error),
    };
    let worked = work(&open).await;
    open.close().await;
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match lacks_migrations(&error) {
            Some(answer) => fail(definition, &StartError::NotMigrated { service: definition.name, answer }),
            None => fail(definition, &error),
        },
    }
}

/// The error of the database, if missing migrations caused the error.
fn lacks_migrations(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.clone().filter_map(|cause| cause.downcast_ref()).find(|error: &&DatabaseError| error.lacks_migrations())?;
    causes.by_ref().last().map(ToString::to_string)
}

/// Prints an error with all its causes, and returns the exit code.
fn fail(definition: &Definition, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("{}: {error}", definition.name);
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  caused by: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}
