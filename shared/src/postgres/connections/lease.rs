//! Waits for a connection and lends it.

use std::time::Instant;

use sqlx::PgConnection;
use tokio::{runtime::Handle, time::timeout};

use super::{Connections, Open};
use crate::postgres::{DatabaseError, opening};

impl Connections {
    /// Lends a connection for one statement: an idle one, or the first that becomes idle.
    ///
    /// # Errors
    /// `Unavailable` when there is no connection and none can be opened. `Overloaded` when no connection becomes idle
    /// in time; at once when that is expected.
    pub async fn lease(&self) -> Result<Lease, DatabaseError> {
        if let Some(open) = self.take_one() {
            return Ok(self.lend(open));
        }
        let wait_max = self.current_wait_max()?;
        let began = Instant::now();
        let leased = timeout(wait_max, self.wait_for_one()).await;
        self.0.metrics.waited(began.elapsed());
        let Ok(leased) = leased else {
            self.0.metrics.timed_out();
            let is_unavailable = self.lock().live == 0;
            return Err(if is_unavailable {
                DatabaseError::Unavailable(opening::timed_out())
            } else {
                DatabaseError::Overloaded
            });
        };
        leased.map(|open| self.lend(open))
    }

    fn lend(&self, open: Open) -> Lease {
        Lease { connections: self.clone(), open: Some(open), since: Instant::now() }
    }

    /// An idle connection, unless callers that waited longer are about to take it.
    fn take_one(&self) -> Option<Open> {
        let permit = self.0.idle.try_acquire().ok()?;
        permit.forget();
        self.lock().idle.pop()
    }

    async fn wait_for_one(&self) -> Result<Open, DatabaseError> {
        let mut failed = self.0.failed.subscribe();
        let came = Instant::now();
        let _waiting = Waiting::begin(self);
        loop {
            tokio::select! {
                biased;
                permit = self.0.idle.acquire() => {
                    // Closed: the service stops.
                    let Ok(permit) = permit else { return Err(DatabaseError::Overloaded) };
                    permit.forget();
                    if let Some(open) = self.lock().idle.pop() {
                        return Ok(open);
                    }
                }
                Ok(()) = failed.changed() => {
                    let last = failed.borrow_and_update().clone();
                    // An attempt that started before this wait does not count. While there are open connections, one
                    // of them will become idle.
                    if let Some(last) = last.filter(|last| last.began >= came && self.lock().live == 0) {
                        return Err(DatabaseError::Unreachable(last.error));
                    }
                }
            }
        }
    }
}

/// Counts a caller that waits for a connection. A connection is opened for it.
struct Waiting<'a>(&'a Connections);

impl<'a> Waiting<'a> {
    fn begin(connections: &'a Connections) -> Self {
        connections.lock().waiting += 1;
        connections.open_due();
        Self(connections)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// The use of one connection. If it is dropped without [`Lease::end`], because its call was abandoned, the statement is
/// ended in the background before the connection is used again.
pub(in crate::postgres) struct Lease {
    connections: Connections,
    open: Option<Open>,
    since: Instant,
}

impl Lease {
    /// # Panics
    /// Never: the connection exists until the lease ends.
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.open.as_mut().expect("a lease has its connection until it ends").connection
    }

    /// Runs a statement on the connection. It is abandoned when the connection leads to a server that was replaced:
    /// that server may hang and never answer.
    ///
    /// # Errors
    /// The error of the statement; `ConnectionAborted` when it was abandoned.
    pub async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mine = self.open.as_ref().map_or(0, |open| open.generation);
        let mut oldest = self.connections.0.oldest.subscribe();
        tokio::select! {
            biased;
            result = statement(self.connection()) => result,
            _ = oldest.wait_for(|oldest| mine < *oldest) => {
                Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }

    /// The time when the connection was lent.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The time when the connection was opened, until the lease ends.
    pub fn opened(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.opened)
    }

    /// Returns the connection after its statement has ended cleanly.
    pub fn end(mut self) {
        if let Some(open) = self.open.take() {
            self.connections.lock().use_time.add(self.since.elapsed());
            self.connections.give_back(open);
        }
    }

    /// Drops the connection, because it is dead.
    pub fn discard(mut self) {
        self.open = None;
        self.connections.lose();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        // Without a runtime the process is ending, and dropping the connection closes it.
        if Handle::try_current().is_ok() {
            self.connections.lock().use_time.add(self.since.elapsed());
            self.connections.abandon(open);
        }
    }
}
