//! Waiting for a connection, and using it.

use std::time::Instant;

use sqlx::PgConnection;
use tokio::{runtime::Handle, time::timeout};

use super::{Connections, Open};
use crate::postgres::{DatabaseError, opening};

impl Connections {
    /// A connection to run one statement on: an idle one, or the first that becomes idle.
    ///
    /// # Errors
    /// `Unavailable` when there is none and none can be opened; `Overloaded` when none of those there are
    /// became idle in time, or, at once, when none would.
    pub async fn lease(&self) -> Result<Lease, DatabaseError> {
        if let Some(open) = self.take_one() {
            return Ok(self.lend(open));
        }
        let patience = self.patience()?;
        let began = Instant::now();
        let leased = timeout(patience, self.wait_for_one()).await;
        self.0.metrics.waited(began.elapsed());
        let Ok(leased) = leased else {
            self.0.metrics.got_none();
            let away = self.lock().live == 0;
            return Err(if away {
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
                    // An attempt from before this caller came says nothing about now. As long as there
                    // are connections, one of them becomes idle.
                    if let Some(last) = last.filter(|last| last.began >= came && self.lock().live == 0) {
                        return Err(DatabaseError::Unreachable(last.error));
                    }
                }
            }
        }
    }
}

/// A caller that waits for a connection, and has one opened for it.
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

/// The use of one connection. When it is dropped without [`Lease::end`], because its call was given up,
/// its statement is ended in the background before the connection is used again.
pub(in crate::postgres) struct Lease {
    connections: Connections,
    open: Option<Open>,
    since: Instant,
}

impl Lease {
    /// The connection.
    ///
    /// # Panics
    /// Never: it is there until the lease ends.
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.open.as_mut().expect("a lease has its connection until it ends").connection
    }

    /// Runs a statement on the connection, to its end or until the connection is found to lead to a server that has
    /// been replaced. That server may hang, and would then never answer.
    ///
    /// # Errors
    /// Those of the statement; `ConnectionAborted` when it was given up.
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

    /// When the connection was lent.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The statement has ended, and the connection is good for another one.
    pub fn end(mut self) {
        if let Some(open) = self.open.take() {
            self.connections.lock().use_time.add(self.since.elapsed());
            self.connections.give_back(open);
        }
    }

    /// The connection is dead.
    pub fn discard(mut self) {
        self.open = None;
        self.connections.lose();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        // Without a runtime the process is ending: the connection is closed by being dropped.
        if Handle::try_current().is_ok() {
            self.connections.lock().use_time.add(self.since.elapsed());
            self.connections.abandon(open);
        }
    }
}
