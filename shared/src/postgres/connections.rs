//! A stack of connections behind a semaphore.
//!
//! A pool that checks its connections pays a round trip for it. Here a connection goes back to the
//! stack only after a clean end; whatever was cancelled under way is set right in the background
//! first, and keeps its permit until then, so that there is never more than one connection for
//! each permit.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::DatabaseError;

/// A connection is closed at this age: it spreads load after a failover.
const LIFETIME: Duration = Duration::from_mins(30);
/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_mins(5);
/// What an abandoned statement may take to end. After it the connection is closed, which ends the
/// statement at the server: it looks for its client every `client_connection_check_interval`.
const ABANDONED: Duration = Duration::from_millis(500);

/// The connections of one service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

/// The connections for as long as somebody else keeps them.
pub(super) struct WeakConnections(Weak<Shared>);

impl WeakConnections {
    /// [`Connections::usage`], while there are any.
    pub fn usage(&self) -> Option<(u32, u32, u32)> {
        self.0.upgrade().map(|shared| Connections(shared).usage())
    }
}

struct Shared {
    options: PgConnectOptions,
    /// Prepared when a connection opens, so that not even the first call on it costs a second round
    /// trip.
    hot: &'static [&'static str],
    /// How long to wait for a permit, and for a connection to open.
    acquire_timeout: Duration,
    idle: Mutex<Vec<Open>>,
    permits: Arc<Semaphore>,
    max: u32,
    background: TaskTracker,
}

struct Open {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

impl Connections {
    pub fn new(options: PgConnectOptions, hot: &'static [&'static str], max: u32, acquire_timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            options,
            hot,
            acquire_timeout,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(max as usize)),
            max,
            background: TaskTracker::new(),
        }))
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.0.options
    }

    pub fn downgrade(&self) -> WeakConnections {
        WeakConnections(Arc::downgrade(&self.0))
    }

    /// Connections there may be, and how many of them are used and idle now.
    pub fn usage(&self) -> (u32, u32, u32) {
        let free = u32::try_from(self.0.permits.available_permits()).unwrap_or(u32::MAX);
        let idle = u32::try_from(self.lock().len()).unwrap_or(u32::MAX);
        (self.0.max, self.0.max.saturating_sub(free), idle)
    }

    /// A connection to run one statement on.
    ///
    /// # Errors
    /// `Overloaded` when none became free in time; `Unavailable` when none can be opened.
    pub async fn lease(&self) -> Result<Lease, DatabaseError> {
        let permit = timeout(self.0.acquire_timeout, Arc::clone(&self.0.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(DatabaseError::Overloaded) };
        let mut lease = Lease { connections: self.clone(), open: None, permit: Some(permit) };
        let idle = self.lock().pop();
        lease.open = Some(match idle {
            Some(open) => open,
            None => self.open().await?,
        });
        Ok(lease)
    }

    async fn open(&self) -> Result<Open, DatabaseError> {
        let opening = async {
            let mut connection = PgConnection::connect_with(&self.0.options).await?;
            for statement in self.0.hot {
                connection.prepare(sqlx::SqlStr::from_static(statement)).await?;
            }
            Ok(connection)
        };
        let connection = match timeout(self.0.acquire_timeout, opening).await {
            Ok(Ok(connection)) => connection,
            // Also when a statement cannot be prepared: the migrations are not applied yet.
            Ok(Err(error)) => return Err(DatabaseError::Unavailable(error)),
            Err(_) => return Err(DatabaseError::Unavailable(timed_out())),
        };
        let now = Instant::now();
        Ok(Open { connection, opened: now, used: now })
    }

    fn give_back(&self, mut open: Open) {
        open.used = Instant::now();
        let mut idle = self.lock();
        if open.opened.elapsed() < LIFETIME {
            idle.push(open);
        } else {
            self.retire(open);
        }
        // The stack's bottom is what has been idle longest; one a call keeps up.
        if idle.first().is_some_and(|longest| longest.used.elapsed() > IDLE) {
            let longest = idle.remove(0);
            self.retire(longest);
        }
    }

    /// Says goodbye to the server, off anybody's path.
    fn retire(&self, open: Open) {
        self.0.background.spawn(async move {
            let _ = timeout(ABANDONED, open.connection.close()).await;
        });
    }

    /// Throws away every connection that nobody uses.
    pub fn forget_idle(&self) {
        self.lock().clear();
    }

    /// Closes every connection; gives up on what the server does not answer.
    pub async fn close(&self) {
        self.0.permits.close();
        let idle = std::mem::take(&mut *self.lock());
        for open in idle {
            self.retire(open);
        }
        self.0.background.close();
        self.0.background.wait().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// The use of one connection. Dropped without [`Lease::end`], as by a caller that goes away, the
/// connection is set right in the background before anybody else has it or its permit.
pub(super) struct Lease {
    connections: Connections,
    open: Option<Open>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The connection; an error when the last attempt to open one failed.
    pub fn connection(&mut self) -> Result<&mut PgConnection, DatabaseError> {
        match &mut self.open {
            Some(open) => Ok(&mut open.connection),
            None => Err(DatabaseError::Unavailable(timed_out())),
        }
    }

    /// Another connection, newly opened, in place of one that turned out to be dead.
    pub async fn renew(&mut self) -> Result<(), DatabaseError> {
        self.open = None;
        self.open = Some(self.connections.open().await?);
        Ok(())
    }

    /// The statement has ended, and the connection is good for another one.
    pub fn end(mut self) {
        if let Some(open) = self.open.take() {
            self.connections.give_back(open);
        }
    }

    /// The connection is dead.
    pub fn discard(mut self) {
        self.open = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut open), Some(permit)) = (self.open.take(), self.permit.take()) else { return };
        if Handle::try_current().is_err() {
            return; // the runtime is gone, and the connection goes with it
        }
        let connections = self.connections.clone();
        self.connections.0.background.spawn(async move {
            // The answer that nobody waited for is read before the ping's own.
            if matches!(timeout(ABANDONED, open.connection.ping()).await, Ok(Ok(()))) {
                connections.give_back(open);
            }
            drop(permit);
        });
    }
}
