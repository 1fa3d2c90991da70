//! How a connection is opened.
//!
//! Where the database is far away, each round trip of an opening counts: one to reach it, one to ask
//! for TLS and one or two to begin it, three to log in with a password (SCRAM), and one for each hot
//! statement. All settings travel in the start packet.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::url::{UrlFault, parse_url};

/// What opening a connection may take: a dozen round trips around the world, on a bad day.
const OPENING_BOUND: Duration = Duration::from_secs(10);

/// Opens a connection, and prepares the hot statements on it, so that not even the first call on it
/// costs a second round trip.
///
/// # Errors
/// What the server or the network answered, also when a statement cannot be prepared because the
/// migrations are not applied; `TimedOut` when that took too long.
pub(super) async fn open(options: &PgConnectOptions, hot: &[&'static str]) -> Result<PgConnection, sqlx::Error> {
    let opening = async {
        let mut connection = PgConnection::connect_with(options).await?;
        for statement in hot {
            connection.prepare(sqlx::SqlStr::from_static(statement)).await?;
        }
        Ok(connection)
    };
    timeout(OPENING_BOUND, opening).await.unwrap_or_else(|_| Err(timed_out()))
}

pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// The options of every connection.
///
/// # Errors
/// When the URL cannot be read.
pub(super) fn options(url: &str, statement_timeout: Duration) -> Result<PgConnectOptions, UrlFault> {
    // Slow statements show in the metrics; their text would add nothing.
    Ok(parse_url(url)?.disable_statement_logging().options(session(statement_timeout)).options([
        // Keep-alive probes: a gateway that translates addresses does not forget an idle connection, and the
        // server does not keep one whose client has died.
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "15"),
        ("tcp_keepalives_count", "4"),
    ]))
}

/// A setting of the server that holds for a connection, as `pg_settings` shows it: times are in milliseconds.
pub(super) type SessionSetting = (&'static str, String);

/// What must be in force on every connection, also behind a pooler.
pub(super) fn session(statement_timeout: Duration) -> Vec<SessionSetting> {
    let constant = [
        // A statement whose client has gone is ended, and its locks with it.
        ("client_connection_check_interval", "500"),
        // A client that vanished inside a transaction must not keep its locks.
        ("idle_in_transaction_session_timeout", "30000"),
        // Plans of the hot statements do not depend on their values: plan once.
        ("plan_cache_mode", "force_generic_plan"),
        // Every statement has an index to go by. Without this a plan that was made while a table was
        // still empty would go on scanning it while it grows.
        ("enable_seqscan", "off"),
        ("TimeZone", "UTC"),
        // Compiling a plan costs more than any of these statements takes to run.
        ("jit", "off"),
    ];
    let constant = constant.into_iter().map(|(name, value)| (name, value.to_owned()));
    constant.chain([("statement_timeout", statement_timeout.as_millis().to_string())]).collect()
}
