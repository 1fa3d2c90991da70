use std::{sync::Arc, time::Duration};

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::probe::Suspicion;
use crate::{error_chain::error_chain, status::Failure};

/// When to retry while the database is full or read only, which takes an operator to mend.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Why a statement gave no answer.
///
/// An error that PostgreSQL answers with means that nothing was written: every statement is a transaction of its own.
/// [`Unavailable`](Self::Unavailable) leaves that open, because a connection can be lost between the commit and the
/// answer; so does a call that is dropped, or whose deadline passes, before the answer is there. The same call, made
/// again, tells: by its idempotency key, or by the state it asks for.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("no connection became free in time")]
    Overloaded,
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// One error, shared by all calls that waited for the connection.
    #[error("no connection to the database can be opened")]
    Unreachable(#[source] Arc<sqlx::Error>),
    /// The connection is sound, the server is not: its disk or memory is full, or it is read only.
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

    /// What kind of error it is, in a word.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) | Self::Unreachable(_) => "unavailable",
            Self::Impaired(_) => "impaired",
            Self::TimedOut(_) => "timed_out",
            Self::Failed(error) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
                match code.get(..2) {
                    // A concurrent call was faster: the statement is run again, or refused.
                    Some("23") => "constraint",
                    Some("40") => "contention",
                    _ => "failed",
                }
            }
        }
    }

    /// Whether no statement can be run for now, whichever it is.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unreachable(_) | Self::Impaired(_) | Self::Overloaded)
    }

    /// What the error says about the server, beyond the statement.
    pub(super) fn suspicion(&self) -> Option<Suspicion> {
        match self {
            Self::Impaired(error) if is_read_only(error) => Some(Suspicion::ReadOnly),
            Self::Impaired(_) => Some(Suspicion::OutOfResources),
            _ => None,
        }
    }

    /// Whether the database answered that it lacks what the statement needs: its migrations are not applied. A
    /// connection cannot even be opened then, because the hot statements cannot be prepared on it.
    pub fn lacks_migrations(&self) -> bool {
        // Undefined table, column, function.
        const UNDEFINED: [&str; 3] = ["42P01", "42703", "42883"];
        let code = self.cause().and_then(sqlx::Error::as_database_error).and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| UNDEFINED.contains(&code.as_ref()))
    }

    /// What the library reported, of an error that says that a statement was not run as it should be.
    pub(super) fn cause(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Failed(error) | Self::Unavailable(error) => Some(error),
            Self::Unreachable(error) => Some(error),
            Self::Overloaded | Self::Impaired(_) | Self::TimedOut(_) => None,
        }
    }

    /// The failure that a client sees. Its cause, which the client does not see, is logged here, once.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Overloaded => Failure::overloaded(),
            Self::Unavailable(_) | Self::Unreachable(_) => {
                tracing::warn!(error = error_chain(self), "the database is unavailable");
                Failure::database_unavailable()
            }
            Self::Impaired(_) => {
                tracing::warn!(error = error_chain(self), "the database cannot do its work");
                let message = "The database cannot do its work for now: send the same call again after the time in \
                               RetryInfo.";
                Failure::database_unavailable().saying(message).retry_after(RETRY_LATER)
            }
            Self::TimedOut(_) => Failure::deadline_exceeded(),
            // Chosen by PostgreSQL to end a deadlock, or to keep transactions in a row: nothing was written.
            Self::Failed(_) if self.has_code("40P01") || self.has_code("40001") => Failure::overloaded(),
            // A value that its column's constraint forbids.
            Self::Failed(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                tracing::error!(error = error_chain(self), "stored data cannot be read");
                Failure::data_corrupted()
            }
            Self::Failed(_) => {
                tracing::error!(error = error_chain(self), "a statement failed");
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
        // A server that panics, as when its disk has no room for the log, has ended the connection.
        let lost = error.as_database_error().is_some_and(ends_the_connection);
        if !lost && (lacks_resources(&error) || is_read_only(&error)) {
            return Self::Impaired(error);
        }
        if is_away(&error) {
            return Self::Unavailable(error);
        }
        match &error {
            sqlx::Error::Database(refused) if refused.code().as_deref() == Some("57014") => Self::TimedOut(error),
            _ => Self::Failed(error),
        }
    }
}

/// The SQLSTATE that PostgreSQL answered with, which the error's own text leaves out.
fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map_or_else(String::new, |code| format!(" with SQLSTATE {code}"))
}

/// Whether the database cannot be used for now, whatever the statement.
pub fn is_away(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;

    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => true,
        E::Database(refused) => {
            lacks_resources(error)
                || is_read_only(error)
                || refused.code().is_some_and(|code| is_unavailable(&code))
                || ends_the_connection(&**refused)
        }
        _ => false,
    }
}

/// Whether the server lacks room: class 53, a full disk or memory, no file descriptors or locks; or its disk
/// does not answer. Too many connections are excluded: those that are open still work.
pub(super) fn lacks_resources(error: &sqlx::Error) -> bool {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    const IO_ERROR: &str = "58030";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| (code.starts_with("53") && code != TOO_MANY_CONNECTIONS) || code == IO_ERROR)
}

/// Whether the server refuses to write: a standby, or one that was set to read only.
fn is_read_only(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "25006")
}

/// The SQLSTATEs that say that the server cannot be used.
fn is_unavailable(code: &str) -> bool {
    // Class 08, connection exception; 28, a login that is refused; 57P01 to 57P05, shut down, crashed,
    // starting, idle for too long.
    ["08", "28", "57P"].iter().any(|class| code.starts_with(class))
        // no such database, too many connections
        || ["3D000", "53300"].contains(&code)
}

/// Whether the server has ended the connection with this answer, whatever it says.
fn ends_the_connection(error: &dyn sqlx::error::DatabaseError) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}
