//! The way to PostgreSQL: one round trip a statement, no more.
//!
//! A connection from sqlx's pool costs a ping when it is taken or given back. Single statements
//! therefore run on a small stack of connections that are held outside the pool. They are bounded
//! by a semaphore, and go back to the stack only after a clean end: whatever was cancelled or
//! failed in transit is handed to the pool, which drains or discards it.

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, global};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::Map,
};
use tokio::sync::Semaphore;

use crate::status::Failure;

/// A held connection goes back to the pool after this long, where its age is checked.
const HOLD_FOR: Duration = Duration::from_mins(1);
/// The pool closes a connection at this age: it spreads load after a failover.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// What closing the connections may take.
const CLOSE_BOUND: Duration = Duration::from_secs(2);

/// How a service uses its database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    pub url: SecretString,
    /// Connections of this process, at most.
    pub max_connections: u32,
    /// How many of them run single statements at once. More than a few a core only queue up inside
    /// PostgreSQL, and on a hot row they slow each other down.
    pub statement_connections: u32,
    /// How long a call waits for a connection before it is told to come back later.
    pub acquire_timeout: Duration,
    /// A statement that runs longer is cancelled by the server.
    pub statement_timeout: Duration,
}

/// Why a statement gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("no connection became free in time")]
    Overloaded,
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    #[error("the statement ran into its time limit")]
    TimedOut(#[source] sqlx::Error),
    #[error("the statement failed")]
    Failed(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether PostgreSQL answered with this SQLSTATE.
    pub fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.code().as_deref() == Some(code))
    }

    /// What a client is told. What it is not told, the cause, is logged here, once.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Overloaded => Failure::overloaded(),
            Self::Unavailable(cause) => {
                tracing::warn!(error = %cause, "the database is unavailable");
                Failure::database_unavailable()
            }
            Self::TimedOut(_) => Failure::deadline_exceeded(),
            Self::Failed(cause) => {
                tracing::error!(error = %cause, "a statement failed");
                Failure::internal()
            }
        }
    }

    /// Whether the statement was refused by this constraint.
    pub fn violates(&self, constraint: &str) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.constraint() == Some(constraint))
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::PoolTimedOut => Self::Overloaded,
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolClosed | E::WorkerCrashed => Self::Unavailable(error),
            E::Database(refused) => match refused.code().as_deref() {
                Some("57014") => Self::TimedOut(error), // query_canceled
                // Class 08, connection exception; 57P01 to 57P05, shut down, crashed, starting;
                // 53300, too many connections; 25006, a standby after a failover.
                Some(code)
                    if code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25006" =>
                {
                    Self::Unavailable(error)
                }
                _ => Self::Failed(error),
            },
            _ => Self::Failed(error),
        }
    }
}

/// One service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    held: Arc<Held>,
    acquire_timeout: Duration,
}

struct Held {
    idle: Mutex<Vec<(PoolConnection<Postgres>, Instant)>>,
    permits: Semaphore,
}

impl Held {
    fn pop(&self) -> Option<(PoolConnection<Postgres>, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn push(&self, connection: (PoolConnection<Postgres>, Instant)) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    fn take_all(&self) -> Vec<(PoolConnection<Postgres>, Instant)> {
        std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Database {
    /// Prepares the way without going it: the first statement connects.
    ///
    /// `hot` statements are prepared when a connection opens, so that not even the first call on
    /// it costs a second round trip.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(settings: &DatabaseSettings, hot: &'static [&'static str]) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .max_lifetime(MAX_LIFETIME)
            .idle_timeout(IDLE_TIMEOUT)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    for statement in hot {
                        connection.prepare(sqlx::SqlStr::from_static(statement)).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(connect_options(settings)?);
        Ok(Self {
            pool,
            held: Arc::new(Held {
                idle: Mutex::new(Vec::new()),
                permits: Semaphore::new(settings.statement_connections as usize),
            }),
            acquire_timeout: settings.acquire_timeout,
        })
    }

    /// Runs one statement that commits by itself, in one round trip on a warm connection, and
    /// returns its rows.
    ///
    /// When the connection turns out to be dead the statement is run once more on a live one, so
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
        let permit = tokio::time::timeout(self.acquire_timeout, self.held.permits.acquire());
        let Ok(Ok(_permit)) = permit.await else { return Err(DatabaseError::Overloaded) };

        let (mut connection, since) = match self.held.pop() {
            Some(held) => held,
            None => (self.pool.acquire().await?, Instant::now()),
        };
        let mut result = statement().fetch_all(&mut *connection).await.map_err(DatabaseError::from);
        if matches!(result, Err(DatabaseError::Unavailable(_))) {
            // The server has probably gone and come back: what else is idle is just as dead.
            drop(connection.detach());
            drop(self.held.take_all());
            connection = self.live_connection().await?;
            result = statement().fetch_all(&mut *connection).await.map_err(DatabaseError::from);
        }
        match &result {
            Err(DatabaseError::Unavailable(_)) => drop(connection.detach()),
            _ if since.elapsed() < HOLD_FOR => self.held.push((connection, since)),
            _ => {} // dropped into the pool
        }
        result
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

    /// A connection that has just answered. The pool's idle ones may be dead: each is tried and
    /// thrown away until one answers or a new one is opened.
    async fn live_connection(&self) -> Result<PoolConnection<Postgres>, DatabaseError> {
        for _ in 0..self.pool.options().get_max_connections() {
            let mut connection = self.pool.acquire().await?;
            if connection.ping().await.is_ok() {
                return Ok(connection);
            }
            drop(connection.detach());
        }
        Ok(self.pool.acquire().await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let mut connection = self.pool.acquire().await?;
        match connection.ping().await {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(connection.detach());
                Err(error.into())
            }
        }
    }

    /// Connections that are open now, and how many of them nobody uses.
    fn usage(&self) -> (u64, u64) {
        let held = self.held.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        (u64::from(self.pool.size()), (self.pool.num_idle() + held) as u64)
    }

    /// Shows how many connections there are, under OpenTelemetry's names for them.
    pub fn observe(&self) {
        let meter = global::meter("teppan");
        let database = self.clone();
        meter
            .u64_observable_gauge("db.client.connection.count")
            .with_description("Open database connections, by whether they are used.")
            .with_callback(move |gauge| {
                let (open, idle) = database.usage();
                gauge.observe(idle, &[KeyValue::new("db.client.connection.state", "idle")]);
                gauge.observe(open.saturating_sub(idle), &[KeyValue::new("db.client.connection.state", "used")]);
            })
            .build();
        let max = u64::from(self.pool.options().get_max_connections());
        meter
            .u64_observable_gauge("db.client.connection.max")
            .with_description("Database connections there may be.")
            .with_callback(move |gauge| gauge.observe(max, &[]))
            .build();
    }

    /// Applies the migrations that are missing. Replicas that start together take turns.
    pub async fn migrate(&self, migrator: &sqlx::migrate::Migrator) -> Result<(), sqlx::migrate::MigrateError> {
        // A connection of its own: what the pool does with a new one needs the tables to be there,
        // and a migration may take longer than a statement may.
        let mut connection = PgConnection::connect_with(&self.pool.connect_options()).await?;
        connection.execute("SET statement_timeout = 0").await?;
        migrator.run_direct(None, &mut connection, false).await?;
        connection.close().await?;
        Ok(())
    }

    /// Closes every connection. One that the server does not answer on is given up at a bound.
    pub async fn close(&self) {
        drop(self.held.take_all());
        let _ = tokio::time::timeout(CLOSE_BOUND, self.pool.close()).await;
    }
}

fn connect_options(settings: &DatabaseSettings) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(settings.url.expose_secret())?;
    Ok(options.options([
        ("statement_timeout", settings.statement_timeout.as_millis().to_string().as_str()),
        // A client that vanished inside a transaction must not keep its locks.
        ("idle_in_transaction_session_timeout", "30s"),
        // Plans of the hot statements do not depend on their values: plan once.
        ("plan_cache_mode", "force_generic_plan"),
        // Every statement has an index to go by. Without this a plan that was made while a table was
        // still empty would go on scanning it while it grows.
        ("enable_seqscan", "off"),
        ("timezone", "UTC"),
        // Compiling a plan costs more than any of these statements takes to run.
        ("jit", "off"),
    ]))
}

/// The URL of a database, checked without connecting.
pub fn is_database_url(url: &str) -> bool {
    PgConnectOptions::from_str(url).is_ok()
}
