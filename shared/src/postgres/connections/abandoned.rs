//! Connections whose statement was abandoned: the deadline of the call passed, or its client disconnected.
//!
//! The statement is cancelled in the server too, so that it does not keep the connection, its locks and its position in
//! a lock queue although no caller needs its result.

use std::time::Duration;

use sqlx::{
    Connection as _, PgConnection, Postgres, Row as _,
    postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgRow},
    query::Query,
};
use tokio::{task::JoinHandle, time::timeout};

use super::{Connections, Open};
use crate::{error_chain::error_chain, postgres::opening};

/// How long an abandoned statement may take to end by itself. Most end at once.
const GRACE: Duration = Duration::from_millis(100);
/// How long it may take to end after its cancellation has begun. If the database is far away, opening the canceller's
/// connection takes half of that. After this time the connection is closed. That ends the statement in the server,
/// which checks for its client every `client_connection_check_interval`.
const CANCELLED: Duration = Duration::from_secs(5);
/// How long a ping, or a statement of the canceller, may take.
const ABANDONED: Duration = Duration::from_secs(2);
/// The most errors before the answer to a ping: one of the abandoned statement, and one of a cancellation that arrives
/// late and cancels the ping itself.
const ERRORS_MAX: usize = 3;

/// Cancels the statements of these connections, unless they may be committing. Cancelling a commit that waits for a
/// synchronous standby would end the wait and keep the commit. A statement that waits for a lock, or that has not
/// written yet, is not committing.
///
/// Connections are found by name and not by process id: after a failover, other processes may have the same ids.
const CANCEL: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                      WHERE application_name = ANY($1) AND usename = current_user AND state = 'active'
                        AND (wait_event_type = 'Lock' OR backend_xid IS NULL)";
/// Whether a connection waits for a synchronous standby. Closing it would end that wait, too.
const AWAITS_STANDBY: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                             WHERE application_name = $1 AND usename = current_user
                                               AND wait_event = 'SyncRep')";

impl Connections {
    /// Returns a connection to the stack when its abandoned statement has ended; drops it when that takes too long.
    pub(super) fn abandon(&self, mut open: Open) {
        let connections = self.clone();
        self.0.background.spawn(async move {
            let mut answered = timeout(GRACE, ended(&mut open.connection)).await;
            if answered.is_err() {
                let cancelling = connections.cancel(&open.name);
                answered = timeout(CANCELLED, ended(&mut open.connection)).await;
                if answered.is_ok() && !connections.withdraw(&open.name) {
                    // The cancellation was already sent, and must not cancel the next statement.
                    let _ = timeout(ABANDONED, cancelling).await;
                    answered = timeout(ABANDONED, ended(&mut open.connection)).await;
                }
            }
            let mut awaits_standby = answered.is_err() && connections.awaits_standby(&open.name).await;
            if awaits_standby {
                connections.lock().awaiting_standby += 1;
                while awaits_standby {
                    answered = timeout(ABANDONED, ended(&mut open.connection)).await;
                    awaits_standby = answered.is_err() && connections.awaits_standby(&open.name).await;
                }
                connections.lock().awaiting_standby -= 1;
            }
            connections.take_back(open, answered == Ok(true));
        });
    }

    /// Returns a connection to the stack when the server answers on it; otherwise drops it.
    pub(super) fn check_and_return(&self, mut open: Open) {
        let connections = self.clone();
        self.0.background.spawn(async move {
            let answered = timeout(ABANDONED, ended(&mut open.connection)).await;
            connections.take_back(open, answered == Ok(true));
        });
    }

    /// Drops a connection whose cancellation may still arrive, because it would cancel another statement.
    fn take_back(&self, open: Open, is_sound: bool) {
        self.withdraw(&open.name);
        let is_in_doubt = self.lock().in_doubt.remove(&open.name);
        if is_sound && !is_in_doubt { self.give_back(open) } else { self.lose() }
    }

    /// Cancels the statement of the connection with this name. The task continues when its caller stops waiting,
    /// because it also cancels statements for other callers.
    fn cancel(&self, name: &str) -> JoinHandle<()> {
        self.lock().to_cancel.push(name.to_owned());
        let connections = self.clone();
        self.0.background.spawn(async move {
            let mut canceller = connections.0.canceller.lock().await;
            // The previous user of the canceller may have cancelled all waiting statements.
            if connections.lock().to_cancel.is_empty() {
                return;
            }
            let Some(connection) = canceller.connection(&connections.0.options).await else { return };
            let names = connections.lock().begin_to_cancel();
            let answer = canceller.run(connection, sqlx::query(CANCEL).bind(&names)).await;
            if answer.is_some() {
                let mut state = connections.lock();
                for name in &names {
                    state.in_doubt.remove(name);
                }
            }
        })
    }

    /// Withdraws a cancellation; `false` when there is none or it has already begun.
    fn withdraw(&self, name: &str) -> bool {
        let mut state = self.lock();
        let before = state.to_cancel.len();
        state.to_cancel.retain(|it| it != name);
        state.to_cancel.len() < before
    }

    async fn awaits_standby(&self, name: &str) -> bool {
        let asking = async {
            let mut canceller = self.0.canceller.lock().await;
            let connection = canceller.connection(&self.0.options).await?;
            let rows = canceller.run(connection, sqlx::query(AWAITS_STANDBY).bind(name)).await?;
            rows.first()?.try_get(0).ok()
        };
        timeout(ABANDONED, asking).await.ok().flatten().unwrap_or(false)
    }
}

/// A connection of its own for cancellations, opened when it is first needed: all other connections may be waiting for
/// the same lock.
#[derive(Default)]
pub(super) struct Canceller(Option<PgConnection>);

impl Canceller {
    /// The kept connection, or a new one. `None` when opening fails; a cancellation is not essential.
    async fn connection(&mut self, options: &PgConnectOptions) -> Option<PgConnection> {
        match self.0.take() {
            Some(kept) => Some(kept),
            None => opening::open(options, &[]).await.map_err(|error| report(&error)).ok(),
        }
    }

    /// Runs a statement and keeps the connection. `None` when the statement fails or takes too long; the connection is
    /// then dropped.
    async fn run(
        &mut self,
        mut connection: PgConnection,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Option<Vec<PgRow>> {
        let rows = timeout(ABANDONED, statement.fetch_all(&mut connection)).await;
        let rows = rows.unwrap_or_else(|_| Err(opening::timed_out())).map_err(|error| report(&error)).ok()?;
        self.0 = Some(connection);
        Some(rows)
    }
}

fn report(error: &sqlx::Error) {
    tracing::debug!(error = error_chain(error), "abandoned statements cannot be cancelled");
}

/// Waits until the server has answered everything. `false` when the connection is broken.
async fn ended(connection: &mut PgConnection) -> bool {
    for _ in 0..ERRORS_MAX {
        match connection.ping().await {
            Ok(()) => return true,
            Err(sqlx::Error::Database(error)) if is_of_statement(&*error) => {}
            Err(_) => return false,
        }
    }
    false
}

fn is_of_statement(error: &dyn sqlx::error::DatabaseError) -> bool {
    use sqlx::postgres::PgSeverity::{Fatal, Panic};

    error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| !matches!(error.severity(), Fatal | Panic))
}
