//! Checks of a pooler between the service and its server, such as PgBouncer.
//!
//! A pooler may drop the settings of the start packet. It may also run each transaction of a connection on a different
//! server connection, where prepared statements are missing or belong to another client. Both faults are detected at
//! the start, because later they would appear as failures of single calls.

use std::fmt;

use sqlx::{Executor as _, PgConnection, Row as _, SqlSafeStr as _};

use super::{error::DatabaseError, opening::SessionSetting};

/// A property of a pooler that breaks the service.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolerFault {
    /// It refuses connections.
    #[error(
        "the pooler in front of PostgreSQL refuses the settings of this service's connections ({0}). In PgBouncer, set \
         ignore_startup_parameters = extra_float_digits,options"
    )]
    RefusesSettings(String),
    /// Its server connections have other settings.
    #[error(
        "the pooler in front of PostgreSQL drops the settings of this service's connections. Set them in PostgreSQL, \
             then let the pooler reconnect:{0}"
    )]
    DropsSettings(Missing),
    #[error(
        "the pooler in front of PostgreSQL runs the statements of one connection on several of its own, and does not keep \
         prepared statements. In PgBouncer, set pool_mode = session; or in 1.21 and newer, max_prepared_statements to 200"
    )]
    LosesPreparedStatements,
    /// Migrations need a lock that belongs to one server connection.
    #[error(
        "migrations cannot be applied through a pooler that runs the statements of one connection on several of its own. \
         Apply them with a DATABASE_URL that leads to PostgreSQL itself"
    )]
    SharesSessions,
}

/// The statements that set the dropped settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    role: String,
    database: String,
    settings: Vec<SessionSetting>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, database) = (identifier(&self.role), identifier(&self.database));
        self.settings.iter().try_for_each(|(name, value)| {
            write!(f, " ALTER ROLE {role} IN DATABASE {database} SET {name} = '{value}';")
        })
    }
}

/// A name as an SQL identifier, without quotes if it needs none, because a log may escape quotes.
fn identifier(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    if is_plain && !name.starts_with(|first: char| first.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Why the service cannot use its connections.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Fault(#[from] PoolerFault),
    #[error(transparent)]
    Database(DatabaseError),
}

impl CheckError {
    /// Whether waiting may help, because the database is unavailable.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_unavailable())
    }
}

impl From<sqlx::Error> for CheckError {
    fn from(error: sqlx::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

impl From<DatabaseError> for CheckError {
    fn from(error: DatabaseError) -> Self {
        match error.cause().and_then(fault_of) {
            Some(fault) => fault.into(),
            None => Self::Database(error),
        }
    }
}

/// The fault that an error of the server or of the pooler indicates.
pub(super) fn fault_of(error: &sqlx::Error) -> Option<PoolerFault> {
    const PROTOCOL_VIOLATION: &str = "08P01";
    // Statement names are unique to a connection. If a name is missing or taken, the pooler has switched the server
    // connection.
    const MISSING_STATEMENT: &str = "26000";
    const DUPLICATE_STATEMENT: &str = "42P05";
    let error = error.as_database_error()?;
    match error.code()?.as_ref() {
        PROTOCOL_VIOLATION if error.message().contains("startup parameter") => {
            Some(PoolerFault::RefusesSettings(error.message().to_owned()))
        }
        MISSING_STATEMENT | DUPLICATE_STATEMENT => Some(PoolerFault::LosesPreparedStatements),
        _ => None,
    }
}

/// Checks, on two connections, that the settings are in force and that each connection keeps its own prepared
/// statements.
///
/// # Errors
/// [`CheckError`].
pub(super) async fn check(
    one: &mut PgConnection,
    other: &mut PgConnection,
    expected: &[SessionSetting],
) -> Result<(), CheckError> {
    if let Some(missing) = missing(other, expected).await? {
        return Err(PoolerFault::DropsSettings(missing).into());
    }
    if !share_sessions(one, other).await? {
        return Ok(());
    }
    // The library gives statements on both connections the same names.
    for _ in 0..2 {
        one.execute(sqlx::query("SELECT 1")).await?;
        other.execute(sqlx::query("SELECT 2")).await?;
    }
    tracing::info!("a pooler shares its connections to PostgreSQL by transaction, and keeps prepared statements");
    Ok(())
}

/// Whether the statements of these two connections run in the same server processes, because a pooler shares its
/// connections between transactions.
pub(super) async fn share_sessions(one: &mut PgConnection, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let before = process(one).await?;
    let others = process(other).await?;
    Ok(before == others || before != process(one).await?)
}

/// The server process that runs this statement.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // Unprepared, so that this statement itself cannot fail because of the pooler.
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

async fn missing(connection: &mut PgConnection, expected: &[SessionSetting]) -> Result<Option<Missing>, sqlx::Error> {
    let names = expected.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let ask = format!(
        "SELECT name, setting, current_user::text, current_database()::text FROM pg_settings WHERE name IN ({names})"
    );
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(ask).into_sql_str()).fetch_all(connection).await?;
    let mut missing = expected.to_vec();
    let (mut role, mut database) = (String::new(), String::new());
    for row in rows {
        let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        missing.retain(|(wanted, expected)| *wanted != name || *expected != value);
        (role, database) = (row.try_get(2)?, row.try_get(3)?);
    }
    Ok((!missing.is_empty()).then_some(Missing { role, database, settings: missing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_settings_are_reported_as_statements_that_set_them() {
        let missing = Missing {
            role: "teppan".to_owned(),
            database: "a \"b\"".to_owned(),
            settings: vec![("jit", "off".to_owned())],
        };
        let fault = PoolerFault::DropsSettings(missing).to_string();
        assert!(fault.ends_with(r#": ALTER ROLE teppan IN DATABASE "a ""b""" SET jit = 'off';"#), "{fault}");
    }
}
