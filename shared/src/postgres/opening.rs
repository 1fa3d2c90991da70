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
    let options = parse_url(url)?.disable_statement_logging();
    Ok(with_statement_timeout(options, statement_timeout).options([
        // A statement whose client has gone is ended, and its locks with it.
        ("client_connection_check_interval", "500ms"),
        // A client that vanished inside a transaction must not keep its locks.
        ("idle_in_transaction_session_timeout", "30s"),
        // Keep-alive probes: a gateway that translates addresses does not forget an idle connection, and the
        // server does not keep one whose client has died.
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "15"),
        ("tcp_keepalives_count", "4"),
        // Plans of the hot statements do not depend on their values: plan once.
        ("plan_cache_mode", "force_generic_plan"),
        // Every statement has an index to go by. Without this a plan that was made while a table was
        // still empty would go on scanning it while it grows.
        ("enable_seqscan", "off"),
        ("timezone", "UTC"),
        // Compiling a plan costs more than any of these statements takes to run.
        ("jit", "off"),
    ]))
}

/// The same options with another bound for a statement; zero is none. The later of two values counts.
pub(super) fn with_statement_timeout(options: PgConnectOptions, bound: Duration) -> PgConnectOptions {
    options.options([("statement_timeout", bound.as_millis().to_string())])
}
