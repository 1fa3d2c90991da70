//! Connections whose statement was given up: its call's deadline passed, or its client went away.
//!
//! The statement is ended in the server too, so that it does not hold the connection and its place in a queue
//! of locks for the sake of nobody.

use std::time::Duration;

use sqlx::{
    Connection as _, PgConnection, Postgres, Row as _,
    postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgRow},
    query::Query,
};
use tokio::{task::JoinHandle, time::timeout};

use super::{Connections, Open};
use crate::{error_chain::error_chain, postgres::opening};

/// How long a statement that was given up may take to end by itself. Most end at once.
const GRACE: Duration = Duration::from_millis(100);
/// How long it may take to end once its cancellation has begun. Far away, the canceller's first connection takes half
/// of that. After it the connection is closed, which ends the statement at the server: it looks for its client every
/// `client_connection_check_interval`.
const CANCELLED: Duration = Duration::from_secs(5);
/// How long a ping, or a statement of the canceller, may take.
const ABANDONED: Duration = Duration::from_secs(2);
/// Errors of statements that were given up come before the answer to the ping. There is one statement at a time, and
/// the cancellation of one may meet the ping instead.
const ERRORS_MAX: usize = 3;

/// Cancels the statements of these connections, unless they may be committing: cancelling a commit that waits for a
/// synchronous standby ends the wait and keeps the commit. A statement that waits for a lock, or that has written
/// nothing yet, is not that far.
///
/// Connections are found by their names and not by process ids: after a failover another server may have given the
/// same ids to others.
const CANCEL: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                      WHERE application_name = ANY($1) AND usename = current_user AND state = 'active'
                        AND (wait_event_type = 'Lock' OR backend_xid IS NULL)";
/// Whether a connection waits for a synchronous standby. Closing it would end that wait too.
const AWAITS_STANDBY: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                             WHERE application_name = $1 AND usename = current_user
                                               AND wait_event = 'SyncRep')";

impl Connections {
    /// Gives a connection back once its statement, which was given up, has ended; otherwise drops it.
    pub(super) fn abandon(&self, mut open: Open) {
        let connections = self.clone();
        self.0.background.spawn(async move {
            let mut answered = timeout(GRACE, ended(&mut open.connection)).await;
            if answered.is_err() {
                let cancelling = connections.cancel(&open.name);
                answered = timeout(CANCELLED, ended(&mut open.connection)).await;
                if answered.is_ok() && !connections.withdraw(&open.name) {
                    // The cancellation is on its way, and must not meet the next statement.
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

    /// Gives a connection back once the server answers on it; otherwise drops it.
    pub(super) fn settle(&self, mut open: Open) {
        let connections = self.clone();
        self.0.background.spawn(async move {
            let answered = timeout(ABANDONED, ended(&mut open.connection)).await;
            connections.take_back(open, answered == Ok(true));
        });
    }

    /// A connection whose cancellation may still come is not used again: it would meet another statement.
    fn take_back(&self, open: Open, is_sound: bool) {
        self.withdraw(&open.name);
        let is_in_doubt = self.lock().in_doubt.remove(&open.name);
        if is_sound && !is_in_doubt { self.give_back(open) } else { self.lose() }
    }

    /// Cancels the statement of the connection with this name, in a task that goes on when nobody waits for it: it
    /// cancels for others too.
    fn cancel(&self, name: &str) -> JoinHandle<()> {
        self.lock().to_cancel.push(name.to_owned());
        let connections = self.clone();
        self.0.background.spawn(async move {
            let mut canceller = connections.0.canceller.lock().await;
            // Whoever had the canceller before has cancelled for all who waited for it.
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

    /// Takes back a cancellation that has not begun; `false` when there is none, or when it has.
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

/// A connection for looking after the others, opened when it is first needed: all others may wait for the same lock.
#[derive(Default)]
pub(super) struct Canceller(Option<PgConnection>);

impl Canceller {
    /// The connection that was kept, or a new one. Far away, opening takes longer than a statement may. `None` when
    /// that fails: what it is for can be left undone.
    async fn connection(&mut self, options: &PgConnectOptions) -> Option<PgConnection> {
        match self.0.take() {
            Some(kept) => Some(kept),
            None => opening::open(options, &[]).await.map_err(|error| report(&error)).ok(),
        }
    }

    /// Runs a statement, and keeps the connection; `None` when it fails or takes too long. The connection is not used
    /// again then.
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

/// Waits until the server has answered everything. `false` when the connection is no good any more.
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
