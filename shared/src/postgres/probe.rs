//! Checks whether the database can be used.

use std::time::Duration;

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use sqlx::{PgConnection, Row as _, migrate::Migrator, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    connections::Connections,
    error, migrations,
    migrations::MigrationError,
    opening,
    pooler::{self, CheckError, PoolerFault},
};

/// Checks the database on a connection of its own, so that load on the others does not look like an unavailable
/// database.
pub struct Probe {
    connections: Connections,
    connection: Option<PgConnection>,
    /// Attempts to open a connection. They continue between checks, because one may take longer than a check.
    openings: FuturesUnordered<BoxFuture<'static, Result<(PgConnection, Instant), sqlx::Error>>>,
    last_opening: Instant,
    /// The start time of the server that answered last. It identifies the server.
    server: Option<String>,
    last: Condition,
}

/// After this time another attempt begins in addition to those without an answer. These may wait for a server that
/// hangs, while the address already leads to another server.
const NEXT_OPENING: Duration = Duration::from_secs(1);

/// The first column is "on" on a standby. A change of the second means another server, or a restart.
const CHECK: &str = "SELECT current_setting('transaction_read_only'), pg_postmaster_start_time()::text";

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The database answers and, as far as known, accepts writes.
    Writable,
    /// The database does not answer.
    Unavailable,
    /// The server is a standby, or was set to read-only.
    ReadOnly,
    /// The disk or the memory of the server is full.
    OutOfResources,
}

/// A problem of the server that the error of a statement suggests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// The connection leads to a read-only server.
    ReadOnly,
    /// The server lacks room to write.
    OutOfResources,
}

/// Writes more than the free part of a page or block, which fails while the disk is full. The table is dropped at once.
const WRITE: &str = "CREATE TEMP TABLE teppan_write_probe ON COMMIT DROP AS \
                     SELECT repeat('x', 500) AS filling FROM generate_series(1, 512)";

impl Probe {
    pub(super) fn new(connections: Connections) -> Self {
        Self {
            connections,
            connection: None,
            openings: FuturesUnordered::new(),
            last_opening: Instant::now(),
            server: None,
            last: Condition::Unavailable,
        }
    }

    /// Checks the database, for at most this time.
    pub async fn check(&mut self, bound: Duration) -> Condition {
        let answer = timeout(bound, self.check_unbounded()).await;
        if answer.is_err() && self.last != Condition::Unavailable {
            // The connection did not answer and was dropped.
            self.connections.begin_generation();
        }
        self.last = match answer {
            Ok(Ok(condition)) => condition,
            // The server was read-only, and a new connection is still being opened.
            Err(_) if !self.openings.is_empty() && self.last == Condition::ReadOnly => Condition::ReadOnly,
            Ok(Err(_)) | Err(_) => Condition::Unavailable,
        };
        self.last
    }

    /// Whether exactly these migrations are applied.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn has_applied(&mut self, migrator: &Migrator) -> Result<bool, MigrationError> {
        let mut connection = self.connection().await?;
        let applied = migrations::are_applied(&mut connection, migrator).await?;
        self.connection = Some(connection);
        Ok(applied)
    }

    /// Checks that there is no pooler, or one that supports what the service needs.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check_pooler(&mut self) -> Result<(), CheckError> {
        let mut ours = self.connection().await?;
        let mut lease = self.connections.lease().await?;
        let session = self.connections.session();
        let checked = lease.run(async |theirs| Ok(pooler::check(&mut ours, theirs, session).await)).await?;
        match &checked {
            Ok(()) => {
                self.connection = Some(ours);
                lease.end();
            }
            Err(_) => lease.discard(),
        }
        // While other connections are being opened, these two may have used different server connections of the pooler.
        if checked.is_ok() && self.connections.shares_statements() {
            return Err(PoolerFault::LosesPreparedStatements.into());
        }
        checked
    }

    async fn check_unbounded(&mut self) -> Result<Condition, sqlx::Error> {
        // `take`: a connection that does not answer in time is dropped with the future.
        if let Some(kept) = self.connection.take() {
            if let Ok(condition) = self.check_on(kept).await {
                return Ok(condition);
            }
            self.connections.begin_generation();
        }
        let opened = self.connection().await?;
        self.check_on(opened).await
    }

    /// The kept connection, or a new one.
    async fn connection(&mut self) -> Result<PgConnection, sqlx::Error> {
        if let Some(kept) = self.connection.take() {
            return Ok(kept);
        }
        loop {
            if self.openings.is_empty() || self.last_opening.elapsed() >= NEXT_OPENING {
                let began = Instant::now();
                self.last_opening = began;
                let options: PgConnectOptions = self.connections.options().clone();
                let opening = async move { opening::open(&options, &[]).await.map(|connection| (connection, began)) };
                self.openings.push(Box::pin(opening));
            }
            tokio::select! {
                Some(opened) = self.openings.next() => match opened {
                    Ok((connection, began)) => {
                        self.openings.clear();
                        self.connections.reopen(began.into_std());
                        return Ok(connection);
                    }
                    Err(error) if self.openings.is_empty() => return Err(error),
                    // Another attempt may succeed.
                    Err(_) => {}
                },
                () = sleep_until(self.last_opening + NEXT_OPENING) => {}
            }
        }
    }

    async fn check_on(&mut self, mut connection: PgConnection) -> Result<Condition, sqlx::Error> {
        let answer = sqlx::raw_sql(CHECK).fetch_one(&mut connection).await?;
        let server: String = answer.try_get(1)?;
        let is_another = self.server.as_ref().is_some_and(|before| *before != server);
        self.server = Some(server);
        if is_another {
            self.connections.forget_earlier();
        }
        if answer.try_get::<String, _>(0)? == "on" {
            // The connection is not kept: a new one may lead to the new primary.
            self.connections.suspect(Suspicion::ReadOnly);
            return Ok(Condition::ReadOnly);
        }
        let condition = self.check_suspicion(&mut connection).await?;
        self.connection = Some(connection);
        Ok(condition)
    }

    /// Checks the suspected problem, on a server that is not read-only.
    async fn check_suspicion(&mut self, connection: &mut PgConnection) -> Result<Condition, sqlx::Error> {
        match self.connections.suspicion() {
            None => return Ok(Condition::Writable),
            // The other connections may still lead to the old, read-only server.
            Some(Suspicion::ReadOnly) => self.connections.forget_all(),
            Some(Suspicion::OutOfResources) => match sqlx::raw_sql(WRITE).execute(connection).await {
                Err(error) if error::lacks_resources(&error) => return Ok(Condition::OutOfResources),
                // Without the right to create a temporary table the suspicion cannot be checked, so it is cleared.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            },
        }
        self.connections.clear_suspicion();
        Ok(Condition::Writable)
    }
}
