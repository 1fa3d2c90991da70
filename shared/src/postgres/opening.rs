//! Opens a connection.
//!
//! If the database is far away, each round trip counts: one to reach it, one to request TLS and one or two to begin it,
//! three to log in with a password (SCRAM), and one for each hot statement. All settings are in the start packet.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::url::{UrlFault, parse_url};

/// How long opening a connection may take: a dozen slow round trips around the world.
const OPENING_BOUND: Duration = Duration::from_secs(10);

/// Opens a connection and prepares the hot statements on it, so that even the first call on it takes one round trip.
///
/// # Errors
/// The error of the server or the network, also when a statement cannot be prepared because the migrations are not
/// applied; `TimedOut` when opening takes too long.
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
/// When the URL is invalid.
pub(super) fn options(url: &str, statement_timeout: Duration) -> Result<PgConnectOptions, UrlFault> {
    // Slow statements are visible in the metrics; logging their text would add nothing.
    Ok(parse_url(url)?.disable_statement_logging().options(session(statement_timeout)).options([
        // Keep-alive probes, so that a NAT gateway does not drop an idle connection and the server does not keep a
        // connection whose client is gone.
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "15"),
        ("tcp_keepalives_count", "4"),
    ]))
}

/// A setting of a connection, in the form of `pg_settings`: times are in milliseconds.
pub(super) type SessionSetting = (&'static str, String);

/// The settings that must be in force on every connection, also behind a pooler.
pub(super) fn session(statement_timeout: Duration) -> Vec<SessionSetting> {
    let constant = [
        // Ends a statement whose client is gone, and releases its locks.
        ("client_connection_check_interval", "500"),
        // A client that disappears inside a transaction must not keep its locks.
        ("idle_in_transaction_session_timeout", "30000"),
        // The plans of the hot statements do not depend on their parameters, so they are planned once.
        ("plan_cache_mode", "force_generic_plan"),
        // Every statement can use an index. Without this setting, a plan that was made while a table was empty would
        // scan the table even after it has grown.
        ("enable_seqscan", "off"),
        ("TimeZone", "UTC"),
        // Compiling a plan takes longer than running any of these statements.
        ("jit", "off"),
    ];
    let constant = constant.into_iter().map(|(name, value)| (name, value.to_owned()));
    constant.chain([("statement_timeout", statement_timeout.as_millis().to_string())]).collect()
}
