//! Access to PostgreSQL. Each statement takes one round trip.

mod connections;
mod error;
mod migrations;
mod opening;
mod pooler;
mod probe;
mod url;

use std::time::{Duration, Instant};

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

/// How long closing the connections may take.
const CLOSE_BOUND: Duration = Duration::from_secs(2);

/// How a service uses its database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The name of the connections in metrics.
    pub name: &'static str,
    pub url: SecretString,
    /// Statements of this process that run at once, each on a connection of its own. More than a few for each core of
    /// the server would only wait inside PostgreSQL, and slow each other down on a hot row.
    pub max_connections: u32,
    /// Connections that are kept open even when they are not used; at most `max_connections`.
    pub min_connections: u32,
    /// How long a call waits for a connection before it is refused with `Overloaded`.
    pub acquire_timeout: Duration,
    /// The server cancels a statement that runs longer.
    pub statement_timeout: Duration,
}

/// One service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database(Connections);

impl Database {
    /// Does not connect yet; the first statement does.
    ///
    /// `hot` statements are prepared when a connection opens, so that even the first call on it takes one round trip.
    ///
    /// # Errors
    /// When the URL is invalid.
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

    /// Opens the least number of connections, and keeps as many open from then on. Returns when they are open, or when
    /// one is open and the others fail or take too long.
    pub async fn keep_warm(&self) {
        self.0.keep_warm().await;
    }

    /// Whether there is a connection or the last attempt to open one succeeded, and not all connections wait for a
    /// synchronous standby.
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
    }

    /// Pings every idle connection before it is used again, because the database was unavailable.
    pub fn check_idle(&self) {
        self.0.check_idle();
    }

    /// Checks that a call with this much time left would get a connection in time.
    ///
    /// # Errors
    /// `Overloaded` when it would not.
    pub fn admit(&self, left: Duration) -> Result<(), DatabaseError> {
        self.0.admit(left)
    }

    /// Runs one statement, which is a transaction of its own, in one round trip, and returns its rows.
    ///
    /// If the connection turns out to be dead, the statement is run again on another one: once on a connection that was
    /// opened since, and before that on each older one that turns out to be dead too. So it must be safe to run several
    /// times.
    ///
    /// # Errors
    /// [`DatabaseError`]. If the future is dropped before it is done, it is unknown whether the statement took effect.
    pub async fn fetch_all<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<Vec<T>, DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let operation = self.0.metrics().begin();
        let result = self.run_with_retry(statement).await;
        operation.end(result.as_ref().err());
        result
    }

    async fn run_with_retry<'q, T, F>(
        &self,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<Vec<T>, DatabaseError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let (mut result, mut lease) = self.run(&statement).await?;
        let ended = Instant::now();
        // Each run ends a connection that was open when the first one ended, so there are at most as many runs as
        // connections, and one more.
        while matches!(result, Err(DatabaseError::Unavailable(_)))
            && lease.opened().is_some_and(|opened| opened <= ended)
        {
            let since = lease.since();
            lease.discard();
            // The server was probably restarted, so all connections that were open at that time are dead too.
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

    /// [`Database::fetch_all`] for a statement that returns at most one row.
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

    /// [`Database::fetch_all`] for a statement that always returns one row.
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

    /// A probe of the database. It has a connection of its own, so that load on the others does not affect its result.
    pub fn probe(&self) -> Probe {
        Probe::new(self.0.clone())
    }

    /// Applies the missing migrations. Replicas that start together do this one after the other. A migration waits only
    /// briefly for a lock, because other statements wait behind it, and is repeated for up to ten minutes.
    ///
    /// # Errors
    /// [`MigrationError`].
    pub async fn migrate(&self, migrator: &sqlx::migrate::Migrator) -> Result<(), MigrationError> {
        migrations::apply(self.0.options(), migrator).await
    }

    /// Closes every connection. A connection on which the server does not answer is dropped after a time.
    pub async fn close(&self) {
        let _ = timeout(CLOSE_BOUND, self.0.close()).await;
    }
}

/// Runs a statement once.
///
/// Without a subscriber: the library enters and leaves the current span several times for each row, which takes much of
/// the time of a call that reads a thousand rows. Otherwise it would log only notices of the server, and these
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
