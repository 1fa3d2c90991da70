//! Whether the database can do its work.

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

/// Asks on a connection of its own, so that load on the others is not taken for an unavailable
/// database.
pub struct Probe {
    connections: Connections,
    connection: Option<PgConnection>,
    /// Continue from one look to the next, because an opening may take longer than a look.
    openings: FuturesUnordered<BoxFuture<'static, Result<(PgConnection, Instant), sqlx::Error>>>,
    last_opening: Instant,
    /// When the server that answered last was started: no two have the same.
    server: Option<String>,
    last: Condition,
}

/// After so long another opening begins beside those that do not get an answer: they may wait for a server that
/// hangs, while the address leads to another one by now.
const NEXT_OPENING: Duration = Duration::from_secs(1);

/// A standby answers "on" to the first. Another answer to the second means another server, or the same one started
/// anew.
const LOOK: &str = "SELECT current_setting('transaction_read_only'), pg_postmaster_start_time()::text";

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answers, and there is no sign that it cannot be written to.
    Writable,
    /// It does not answer.
    Away,
    /// A standby, or a server that was set to read only.
    ReadOnly,
    /// No room on its disk, or none in its memory.
    OutOfResources,
}

/// What a statement's error made probable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Its connection leads to a server that is read only.
    ReadOnly,
    /// The server lacks room to write.
    OutOfResources,
}

/// Makes a table grow by more than the free part of a page or block, which fails while the disk is full. The
/// table is dropped at once.
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
            last: Condition::Away,
        }
    }

    /// Looks, for no longer than the bound.
    pub async fn look(&mut self, bound: Duration) -> Condition {
        let answer = timeout(bound, self.asked()).await;
        if answer.is_err() && self.last != Condition::Away {
            // The connection that did not answer is gone.
            self.connections.begin_generation();
        }
        self.last = match answer {
            Ok(Ok(condition)) => condition,
            // A new connection to a server that was read only is still being opened.
            Err(_) if !self.openings.is_empty() && self.last == Condition::ReadOnly => Condition::ReadOnly,
            Ok(Err(_)) | Err(_) => Condition::Away,
        };
        self.last
    }

    /// Whether all of these migrations are applied as they are.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn has_applied(&mut self, migrator: &Migrator) -> Result<bool, MigrationError> {
        let mut connection = self.opened().await?;
        let applied = migrations::are_applied(&mut connection, migrator).await?;
        self.connection = Some(connection);
        Ok(applied)
    }

    /// Looks whether a pooler stands before the server that the service cannot work through.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check_pooler(&mut self) -> Result<(), CheckError> {
        let mut ours = self.opened().await?;
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
        // While other connections are being opened, these two may have got different ones of the pooler's.
        if checked.is_ok() && self.connections.shares_statements() {
            return Err(PoolerFault::LosesPreparedStatements.into());
        }
        checked
    }

    async fn asked(&mut self) -> Result<Condition, sqlx::Error> {
        // Taken out: a connection that does not answer in time is not used again.
        if let Some(kept) = self.connection.take() {
            if let Ok(condition) = self.ask(kept).await {
                return Ok(condition);
            }
            self.connections.begin_generation();
        }
        let opened = self.opened().await?;
        self.ask(opened).await
    }

    /// The connection there is, or a new one.
    async fn opened(&mut self) -> Result<PgConnection, sqlx::Error> {
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
                    // One of the others may succeed.
                    Err(_) => {}
                },
                () = sleep_until(self.last_opening + NEXT_OPENING) => {}
            }
        }
    }

    async fn ask(&mut self, mut connection: PgConnection) -> Result<Condition, sqlx::Error> {
        let answer = sqlx::raw_sql(LOOK).fetch_one(&mut connection).await?;
        let server: String = answer.try_get(1)?;
        let is_another = self.server.as_ref().is_some_and(|before| *before != server);
        self.server = Some(server);
        if is_another {
            self.connections.forget_earlier();
        }
        if answer.try_get::<String, _>(0)? == "on" {
            // Not kept: a new one may lead to the server that has taken over.
            self.connections.suspect(Suspicion::ReadOnly);
            return Ok(Condition::ReadOnly);
        }
        let condition = self.cleared(&mut connection).await?;
        self.connection = Some(connection);
        Ok(condition)
    }

    /// Looks into what is suspected, on a server that is not read only.
    async fn cleared(&mut self, connection: &mut PgConnection) -> Result<Condition, sqlx::Error> {
        match self.connections.suspicion() {
            None => return Ok(Condition::Writable),
            // The other connections may still lead to the old server, which is read only.
            Some(Suspicion::ReadOnly) => self.connections.forget_all(),
            Some(Suspicion::OutOfResources) => match sqlx::raw_sql(WRITE).execute(connection).await {
                Err(error) if error::lacks_resources(&error) => return Ok(Condition::OutOfResources),
                // Without the right to make a temporary table the suspicion cannot be checked: drop it.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            },
        }
        self.connections.trust();
        Ok(Condition::Writable)
    }
}
