use std::{sync::Arc, time::Duration};

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::probe::Suspicion;
use crate::{error_chain::error_chain, status::Failure};

/// The retry delay while the database is full or read-only. An operator has to repair that.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Why a statement failed.
///
/// If PostgreSQL answers with an error, nothing was written: every statement is a transaction of its own. After
/// [`Unavailable`](Self::Unavailable) that is unknown, because a connection can be lost between the commit and the
/// answer. It is also unknown for a call that is dropped, or whose deadline passes, before the answer arrives.
/// Repeating the call is safe: an idempotency key or the requested state prevents a second effect.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("no connection became free in time")]
    Overloaded,
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The error is shared by all calls that waited for the connection.
    #[error("no connection to the database can be opened")]
    Unreachable(#[source] Arc<sqlx::Error>),
    /// The connection works, but the server does not: its disk or memory is full, or it is read-only.
    #[error("the database cannot do its work for now{}", sqlstate(.0))]
    Impaired(#[source] sqlx::Error),
    #[error("the statement ran into its time limit")]
    TimedOut(#[source] sqlx::Error),
    #[error("the statement failed{}", sqlstate(.0))]
    Failed(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether PostgreSQL answered with this SQLSTATE.
    pub fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.code().as_deref() == Some(code))
    }

    /// Whether a constraint refused the statement: SQLSTATE class 23.
    pub fn violates_a_constraint(&self) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| code.starts_with("23")))
    }

    /// The kind of the error, as a metric label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) | Self::Unreachable(_) => "unavailable",
            Self::Impaired(_) => "impaired",
            Self::TimedOut(_) => "timed_out",
            Self::Failed(error) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
                match code.get(..2) {
                    _ if code == "55P03" => "contention",
                    // A concurrent call was faster. The statement is repeated or refused.
                    Some("23") => "constraint",
                    Some("40") => "contention",
                    _ => "failed",
                }
            }
        }
    }

    /// Whether no statement at all can be run for now.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unreachable(_) | Self::Impaired(_) | Self::Overloaded)
    }

    /// The problem of the server that the error suggests.
    pub(super) fn suspicion(&self) -> Option<Suspicion> {
        match self {
            Self::Impaired(error) if is_read_only(error) => Some(Suspicion::ReadOnly),
            Self::Impaired(_) => Some(Suspicion::OutOfResources),
            _ => None,
        }
    }

    /// Whether a table, column or function is missing, so migrations are probably not applied. Then even opening a
    /// connection fails, because the hot statements cannot be prepared on it.
    pub fn lacks_migrations(&self) -> bool {
        // Undefined table, column, function.
        const UNDEFINED: [&str; 3] = ["42P01", "42703", "42883"];
        let code = self.cause().and_then(sqlx::Error::as_database_error).and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| UNDEFINED.contains(&code.as_ref()))
    }

    /// The error of the library, if a statement or a connection failed for an unexpected reason.
    pub(super) fn cause(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Failed(error) | Self::Unavailable(error) => Some(error),
            Self::Unreachable(error) => Some(error),
            Self::Overloaded | Self::Impaired(_) | Self::TimedOut(_) => None,
        }
    }

    /// The failure for the client. The cause, which the client does not see, is logged here once.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Overloaded => Failure::overloaded(),
            Self::Unavailable(_) | Self::Unreachable(_) => {
                tracing::warn!(error = error_chain(self), "the database is unavailable");
                Failure::database_unavailable()
            }
            Self::Impaired(_) => {
                tracing::warn!(error = error_chain(self), "the database is read-only or out of disk or memory");
                let message = "The database cannot do its work for now: send the same call again after the time in \
                               RetryInfo.";
                Failure::database_unavailable().with_message(message).retry_after(RETRY_LATER)
            }
            Self::TimedOut(_) => Failure::deadline_exceeded(),
            // PostgreSQL rolled the statement back because of a deadlock or a serialization failure.
            Self::Failed(_) if self.has_code("40P01") || self.has_code("40001") => Failure::overloaded(),
            // The stored value violates the constraint of its column.
            Self::Failed(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                tracing::error!(error = error_chain(self), "stored data cannot be read");
                Failure::data_corrupted()
            }
            Self::Failed(_) => {
                tracing::error!(error = error_chain(self), "statement failed");
                Failure::internal()
            }
        }
    }

    /// Whether this constraint refused the statement.
    pub fn violates(&self, constraint: &str) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.constraint() == Some(constraint))
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        // A server that panics, for example because its disk has no room for the WAL, has closed the connection.
        let lost = error.as_database_error().is_some_and(ends_the_connection);
        if !lost && (lacks_resources(&error) || is_read_only(&error)) {
            return Self::Impaired(error);
        }
        // After a migration, a statement that was prepared before may be refused. A new connection prepares it again.
        if is_unavailable(&error) || error.as_database_error().is_some_and(is_prepared_for_another_schema) {
            return Self::Unavailable(error);
        }
        match &error {
            sqlx::Error::Database(refused) if refused.code().as_deref() == Some("57014") => Self::TimedOut(error),
            _ => Self::Failed(error),
        }
    }
}

/// PostgreSQL's SQLSTATE, which the text of the error does not contain.
fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map_or_else(String::new, |code| format!(" with SQLSTATE {code}"))
}

/// Whether no statement at all can be run for now.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;

    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => true,
        E::Database(refused) => {
            lacks_resources(error)
                || is_read_only(error)
                || refused.code().is_some_and(|code| is_unavailable_code(&code))
                || ends_the_connection(&**refused)
        }
        _ => false,
    }
}

/// Whether the server lacks resources: class 53 (full disk or memory, no file descriptors or locks), or an I/O error of
/// its disk. "Too many connections" is excluded, because open connections still work.
pub(super) fn lacks_resources(error: &sqlx::Error) -> bool {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    const IO_ERROR: &str = "58030";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| (code.starts_with("53") && code != TOO_MANY_CONNECTIONS) || code == IO_ERROR)
}

/// Whether the server refuses writes: it is a standby, or was set to read-only.
fn is_read_only(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "25006")
}

/// The SQLSTATEs of a server that cannot be used.
fn is_unavailable_code(code: &str) -> bool {
    // Class 08: connection exception. Class 28: login refused. 57P01 to 57P05: shutting down, crashed, starting, idle
    // for too long.
    ["08", "28", "57P"].iter().any(|class| code.starts_with(class))
        // no such database, too many connections
        || ["3D000", "53300"].contains(&code)
}

/// Whether the result of a prepared statement has other columns by now: "cached plan must not change result type".
fn is_prepared_for_another_schema(error: &dyn sqlx::error::DatabaseError) -> bool {
    let routine = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
    error.code().as_deref() == Some("0A000") && routine == Some("RevalidateCachedQuery")
}

/// Whether the server closed the connection with this error.
fn ends_the_connection(error: &dyn sqlx::error::DatabaseError) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}
