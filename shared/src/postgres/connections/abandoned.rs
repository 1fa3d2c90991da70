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
use tokio::time::timeout;

use super::{Connections, Open};
use crate::{error_chain::error_chain, postgres::opening};

/// How long a statement that was given up may take to end by itself. Most end at once.
const GRACE: Duration = Duration::from_millis(100);
/// How long it, and the ping after it, may take to end after that. Then the connection is closed, which ends the
/// statement at the server: it looks for its client every `client_connection_check_interval`.
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
                let _ = timeout(ABANDONED, connections.cancel(&open.name)).await;
            }
            while answered.is_err() {
                answered = timeout(ABANDONED, ended(&mut open.connection)).await;
                if answered.is_err() && !connections.awaits_standby(&open.name).await {
                    break;
                }
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

    fn take_back(&self, open: Open, is_sound: bool) {
        if is_sound { self.give_back(open) } else { self.lose() }
    }

    /// Cancels the statement of the connection with this name.
    async fn cancel(&self, name: &str) {
        self.lock().to_cancel.push(name.to_owned());
        let mut canceller = self.0.canceller.lock().await;
        // Whoever had the canceller before has cancelled for all who waited for it.
        let names = std::mem::take(&mut self.lock().to_cancel);
        if !names.is_empty() {
            canceller.run(&self.0.options, sqlx::query(CANCEL).bind(names)).await;
        }
    }

    async fn awaits_standby(&self, name: &str) -> bool {
        let asking = async {
            let mut canceller = self.0.canceller.lock().await;
            let rows = canceller.run(&self.0.options, sqlx::query(AWAITS_STANDBY).bind(name)).await;
            rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false))
        };
        timeout(ABANDONED, asking).await.unwrap_or(false)
    }
}

/// A connection for looking after the others, opened when it is first needed: all others may wait for the same lock.
#[derive(Default)]
pub(super) struct Canceller(Option<PgConnection>);

impl Canceller {
    /// Runs a statement; no rows when it fails. What it is for can be left undone.
    async fn run(&mut self, options: &PgConnectOptions, statement: Query<'_, Postgres, PgArguments>) -> Vec<PgRow> {
        let run = async {
            // Taken out: a connection that fails, or is given up, is not used again.
            let mut connection = match self.0.take() {
                Some(kept) => kept,
                None => opening::open(options, &[]).await?,
            };
            let rows = statement.fetch_all(&mut connection).await?;
            self.0 = Some(connection);
            Ok::<_, sqlx::Error>(rows)
        };
        run.await.unwrap_or_else(|error| {
            tracing::debug!(error = error_chain(&error), "statements that were given up cannot be looked after");
            Vec::new()
        })
    }
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
