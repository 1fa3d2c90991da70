//! The way to PostgreSQL: one round trip a statement, no more.

mod connections;
mod error;
mod migrations;
mod opening;
mod pooler;
mod probe;
mod url;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgConnection, Postgres,
    postgres::{PgArguments, PgRow},
    query::Map,
};
use tokio::time::timeout;
use tracing::{Dispatch, instrument::WithSubscriber as _};

use self::connections::{Connections, Lease, Limits};
pub use self::{
    connections::{in_time, time_left},
    error::DatabaseError,
    migrations::MigrationError,
    pooler::{CheckError, PoolerFault},
    probe::{Condition, Probe},
    url::{UrlFault, parse_url},
};

/// What closing the connections may take.
const CLOSE_BOUND: Duration = Duration::from_secs(2);

/// How a service uses its database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The name of the connections in metrics.
    pub name: &'static str,
    pub url: SecretString,
    /// Statements of this process that run at once, each on a connection of its own. More than a few
    /// a core only queue up inside PostgreSQL, and on a hot row they slow each other down.
    pub max_connections: u32,
    /// Connections that are kept open, also while nobody uses them: at most `max_connections`.
    pub min_connections: u32,
    /// How long a call waits for a connection before it is told to come back later.
    pub acquire_timeout: Duration,
    /// A statement that runs longer is cancelled by the server.
    pub statement_timeout: Duration,
}

/// One service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database(Connections);

impl Database {
    /// Prepares the way without going it: the first statement connects.
    ///
    /// `hot` statements are prepared when a connection opens, so that not even the first call on
    /// it costs a second round trip.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(settings: &DatabaseSettings, hot: &'static [&'static str]) -> Result<Self, UrlFault> {
        let options = opening::options(settings.url.expose_secret(), settings.statement_timeout)?;
        let limits = Limits {
            min: settings.min_connections.min(settings.max_connections),
            max: settings.max_connections,
            acquire_timeout: settings.acquire_timeout,
        };
        let session = opening::session(settings.statement_timeout);
        Ok(Self(Connections::new(settings.name, options, session, hot, limits)))
    }

    /// Opens the least number of connections and keeps as many open from now on. Returns when they are
    /// open, or when there is one and the others fail or take long.
    pub async fn keep_warm(&self) {
        self.0.keep_warm().await;
    }

    /// Whether there is a connection, or the last attempt to open one did not fail; and not all that there may be wait
    /// for a synchronous standby.
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
    }

    /// Pings every idle connection before it is used again, because the database was unavailable.
    pub fn check_idle(&self) {
        self.0.check_idle();
    }

    /// Whether a call with so much time left would get a connection in time.
    ///
    /// # Errors
    /// `Overloaded`, when it would not.
    pub fn admit(&self, left: Duration) -> Result<(), DatabaseError> {
        self.0.admit(left)
    }

    /// Runs one statement that commits by itself, in one round trip on a warm connection, and
    /// returns its rows.
    ///
    /// When the connection turns out to be dead the statement is run once more on a new one, so
    /// it must be safe to run twice.
    ///
    /// # Errors
    /// [`DatabaseError`]. When the future is dropped before it is done, the statement may or may
    /// not have taken effect.
    pub async fn fetch_all<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<Vec<T>, DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let operation = self.0.metrics().begin();
        let result = self.run_twice(statement).await;
        operation.end(result.as_ref().err());
        result
    }

    async fn run_twice<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<Vec<T>, DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let (mut result, mut lease) = self.run(&statement).await?;
        if matches!(result, Err(DatabaseError::Unavailable(_))) {
            let since = lease.since();
            lease.discard();
            // The server has probably gone and come back: what else was open by then is just as dead.
            self.0.forget_opened_by(since);
            (result, lease) = self.run(&statement).await?;
        }
        match &result {
            Err(DatabaseError::Unavailable(_)) => lease.discard(),
            _ => lease.end(),
        }
        if let Err(suspicion) = result.as_ref().map_err(DatabaseError::suspicion)
            && let Some(suspicion) = suspicion
        {
            self.0.suspect(suspicion);
        }
        result
    }

    async fn run<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<(Result<Vec<T>, DatabaseError>, Lease), DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let mut lease = self.0.lease().await?;
        let result = lease.run(async |connection| rows(statement(), connection).await).await;
        Ok((result.map_err(DatabaseError::from), lease))
    }

    /// [`Database::fetch_all`] for a statement that answers at most one row.
    pub async fn fetch_optional<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<Option<T>, DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        Ok(self.fetch_all(statement).await?.pop())
    }

    /// [`Database::fetch_all`] for a statement that always answers one row.
    pub async fn fetch_one<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<T, DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        self.fetch_optional(statement).await?.ok_or(DatabaseError::Failed(sqlx::Error::RowNotFound))
    }

    /// A look at the database on a connection of its own, so that load on the others says nothing
    /// about whether the database is there.
    pub fn probe(&self) -> Probe {
        Probe::new(self.0.clone())
    }

    /// Applies the migrations that are missing. Replicas that start together take turns. A migration waits for
    /// a lock only so briefly that nobody else waits long behind it, and is tried again for ten minutes.
    ///
    /// # Errors
    /// [`MigrationError`].
    pub async fn migrate(&self, migrator: &sqlx::migrate::Migrator) -> Result<(), MigrationError> {
        migrations::apply(self.0.options(), migrator).await
    }

    /// Closes every connection. One that the server does not answer on is given up at a bound.
    pub async fn close(&self) {
        let _ = timeout(CLOSE_BOUND, self.0.close()).await;
    }
}

/// Runs a statement once.
///
/// The library enters and leaves the current span for each row, several times: of a call that reads a
/// thousand, that was a good part of the time. What it would log besides are the server's notices, and our
/// statements raise none.
async fn rows<T, F>(
    statement: Map<'_, Postgres, F, PgArguments>,
    connection: &mut PgConnection,
) -> Result<Vec<T>, sqlx::Error>
where
    F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
    T: Send + Unpin,
{
    statement.fetch_all(connection).with_subscriber(Dispatch::none()).await
}
