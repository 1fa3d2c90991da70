//! A service as its binary runs it: settings to database to servers, and back down again.

use std::{io, process::ExitCode, time::Duration};

use secrecy::SecretString;
use tonic::service::Routes;

use crate::{
    config::{CommonSettings, DatabaseChoice, Problems},
    embedded::{EmbeddedError, SharedServer},
    postgres::{Database, DatabaseSettings},
    server::{Parts, Server},
    tasks::{self, Tasks},
    telemetry::{Telemetry, TelemetryError},
};

/// Exit code when settings are wrong, as command-line parsers use it.
const BAD_SETTINGS: u8 = 2;
/// A statement may take a little longer than a call may, so that the call's own answer comes first.
const STATEMENT_MARGIN: Duration = Duration::from_secs(1);

/// What makes one service different from another.
#[derive(Clone, Copy)]
pub struct Definition {
    /// Such as `booking-service`.
    pub name: &'static str,
    /// Its database on the private server.
    pub database: &'static str,
    pub migrator: &'static sqlx::migrate::Migrator,
    /// The statements of the hot calls, prepared when a connection opens.
    pub hot_statements: &'static [&'static str],
    /// Full names of its gRPC services.
    pub services: &'static [&'static str],
}

/// A service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error("DATABASE_URL cannot be used")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the migrations cannot be applied")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// The database of the settings: the one they name, or the private server's, which is then started.
pub struct OpenDatabase {
    pub database: Database,
    private_server: Option<SharedServer>,
}

impl OpenDatabase {
    /// # Errors
    /// [`StartError`]. That a named database is away is none: the first statement connects.
    pub async fn open(definition: &Definition, settings: &CommonSettings) -> Result<Self, StartError> {
        let (url, private_server) = match &settings.database {
            DatabaseChoice::Url(url) => (url.clone(), None),
            DatabaseChoice::Embedded(home) => {
                let server = SharedServer::start(home).await?;
                server.ensure_database(definition.database).await?;
                (server.url(definition.database), Some(server))
            }
        };
        let database = Database::new(&database_settings(url, settings), definition.hot_statements);
        let database = database.map_err(StartError::Database)?;
        database.observe();
        Ok(Self { database, private_server })
    }

    /// Closes the connections, and stops the private server when nobody else uses it.
    pub async fn close(self) {
        self.database.close().await;
        if let Some(server) = self.private_server
            && let Err(error) = server.stop().await
        {
            tracing::warn!(error = %error, "the private PostgreSQL was not stopped");
        }
    }
}

fn database_settings(url: SecretString, settings: &CommonSettings) -> DatabaseSettings {
    DatabaseSettings {
        url,
        max_connections: settings.database_limits.max_connections,
        statement_connections: settings.database_limits.statement_connections,
        acquire_timeout: settings.database_limits.acquire_timeout,
        statement_timeout: settings.server.request_timeout + STATEMENT_MARGIN,
    }
}

/// A running service.
pub struct Service {
    /// Its servers, and whether they are ready.
    pub server: Server,
    database: OpenDatabase,
}

impl Service {
    /// Starts the servers over an open database.
    pub async fn start(
        definition: &Definition,
        settings: &CommonSettings,
        database: OpenDatabase,
        grpc: Routes,
        http: axum::Router,
        registry: Option<prometheus::Registry>,
    ) -> Result<Self, StartError> {
        let parts = Parts {
            services: definition.services,
            grpc,
            http,
            database: database.database.clone(),
            migrator: definition.migrator,
            registry,
        };
        let server = Server::start(settings.server.clone(), parts, Tasks::default()).await?;
        tracing::info!(grpc = %server.grpc_addr, http = %server.http_addr, "{} is listening", definition.name);
        Ok(Self { server, database })
    }

    /// Stops without failing a call; see [`Server::stop`].
    pub async fn stop(self) {
        self.server.stop().await;
        self.database.close().await;
    }

    /// Runs until the process is told to stop. A migration that cannot be applied ends it too,
    /// because waiting will not mend it.
    async fn until_stopped(self) -> ExitCode {
        let code = tokio::select! {
            signal = tasks::stop_signal() => match signal {
                Ok(signal) => {
                    tracing::info!(signal, "stopping");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    tracing::error!(%error, "signals cannot be received");
                    ExitCode::FAILURE
                }
            },
            () = self.server.readiness().broken() => ExitCode::FAILURE,
        };
        self.stop().await;
        tracing::info!("stopped");
        code
    }
}

/// Tells what is wrong with the settings, and the process's exit code.
pub fn refuse(definition: &Definition, problems: &Problems) -> ExitCode {
    eprint!("{}: {problems}", definition.name);
    ExitCode::from(BAD_SETTINGS)
}

/// Runs a service to its end, and tells the process's exit code.
pub async fn serve(
    definition: &Definition,
    settings: &CommonSettings,
    start: impl AsyncFnOnce(prometheus::Registry) -> Result<Service, StartError>,
) -> ExitCode {
    let telemetry = match Telemetry::start(definition.name, &settings.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(definition, &error.into()),
    };
    let code = match start(telemetry.registry.clone()).await {
        Ok(service) => service.until_stopped().await,
        Err(error) => fail(definition, &error),
    };
    telemetry.shutdown();
    code
}

/// Applies the migrations that are missing, and tells the process's exit code.
pub async fn migrate(definition: &Definition, settings: &CommonSettings) -> ExitCode {
    let migrated = async {
        let open = OpenDatabase::open(definition, settings).await?;
        let migrated = open.database.migrate(definition.migrator).await;
        open.close().await;
        Ok(migrated?)
    };
    match migrated.await {
        Ok(()) => {
            println!("The database of {} is up to date.", definition.name);
            ExitCode::SUCCESS
        }
        Err(error) => fail(definition, &error),
    }
}

/// Says why, with every cause, and what the exit code is.
fn fail(definition: &Definition, error: &StartError) -> ExitCode {
    use std::error::Error as _;

    eprintln!("{}: {error}", definition.name);
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  caused by: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}
