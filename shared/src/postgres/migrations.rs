//! Applies the migrations.

use std::time::{Duration, Instant};

use sqlx::{
    Connection as _, PgConnection, Row as _,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use super::{
    error::is_unavailable,
    opening,
    pooler::{self, PoolerFault},
};
use crate::error_chain::error_chain;

/// Why not all migrations were applied. Those that were applied before the error stay applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Other migrations created the tables. Nothing was changed.
    #[error(
        "the tables in this database were made by other migrations than those of this program (number {0} differs), and \
         nothing was changed. Does DATABASE_URL name the database of the other service? Each service has its own. If a \
         build from before the first release made them, they cannot be migrated: start with an empty database. Name \
         one in DATABASE_URL; or, if it is the private one, stop everything that uses it and remove the folder \
         `postgres` in TEPPAN_HOME (.teppan unless set), which deletes all stored data of both services"
    )]
    OtherTables(i64),
    /// The encoding of the database cannot store every text, or is unspecified (SQL_ASCII). An operator can replace the
    /// database under the same name while the service waits.
    #[error(
        "the encoding of the database is {0}, and must be UTF8: make another one with CREATE DATABASE … ENCODING 'UTF8' \
         TEMPLATE template0, and name it in DATABASE_URL"
    )]
    WrongEncoding(String),
    #[error(transparent)]
    Pooler(#[from] PoolerFault),
    #[error("a migration cannot be applied")]
    Failed(#[source] MigrateError),
}

impl MigrationError {
    /// Whether a lock was not available in time.
    fn lacks_lock(&self) -> bool {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        let Self::Failed(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = self else {
            return false;
        };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| code == LOCK_NOT_AVAILABLE)
    }

    /// Whether waiting may help, because the database is or became unavailable.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Failed(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                is_unavailable(error)
            }
            _ => false,
        }
    }
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        match pooler::fault_of(&error) {
            Some(fault) => fault.into(),
            None => Self::Failed(error.into()),
        }
    }
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMismatch(version) => Self::OtherTables(version),
            other => Self::Failed(other),
        }
    }
}

/// Whether exactly these migrations are applied, in one round trip. The migrator's own check takes a dozen.
///
/// # Errors
/// The database is unavailable. The migrator reports any other problem.
pub(super) async fn are_applied(connection: &mut PgConnection, migrator: &Migrator) -> Result<bool, MigrationError> {
    // In another encoding the result is empty, so that `apply` runs and reports the encoding.
    let applied = sqlx::raw_sql(
        "SELECT version, checksum, success FROM _sqlx_migrations WHERE current_setting('server_encoding') = 'UTF8'",
    );
    let rows = match applied.fetch_all(connection).await {
        Err(error) if is_unavailable(&error) => return Err(MigrateError::Execute(error).into()),
        // The table does not exist yet, or has other columns.
        rows => rows.unwrap_or_default(),
    };
    let applied = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    Ok(applied.collect::<Result<Vec<_>, sqlx::Error>>().is_ok_and(|applied| is_complete(migrator, &applied)))
}

/// Whether the applied migrations (version, checksum, success) are those of the migrator.
fn is_complete(migrator: &Migrator, applied: &[(i64, Vec<u8>, bool)]) -> bool {
    let is_applied = |version, checksum: &[u8]| {
        applied.iter().any(|(applied, its_checksum, _)| *applied == version && its_checksum == checksum)
    };
    let is_sound = |(version, _, success): &(i64, Vec<u8>, bool)| {
        *success && (migrator.ignore_missing || migrator.version_exists(*version))
    };
    applied.iter().all(is_sound) && migrator.iter().all(|ours| is_applied(ours.version, &ours.checksum))
}

/// A migration that waits for a lock gives up after one second, because other statements on the same table wait behind
/// it. A migration has no statement timeout.
const SESSION: [(&str, &str); 2] = [("lock_timeout", "1s"), ("statement_timeout", "0")];
const SET_SESSION: &str = "SET lock_timeout = '1s'; SET statement_timeout = 0";
const CHECK: &str = "SELECT current_setting('server_encoding'), current_setting('lock_timeout')";
/// The pause between two attempts. Other statements get their locks in it.
const LOCK_PAUSE: Duration = Duration::from_secs(2);
/// How long a migration is repeated that does not get its locks.
const LOCK_BOUND: Duration = Duration::from_mins(10);

/// Applies the missing migrations. Replicas that start together do this one after the other, because the migrator takes
/// a lock.
pub(super) async fn apply(options: &PgConnectOptions, migrator: &Migrator) -> Result<(), MigrationError> {
    let since = Instant::now();
    loop {
        match attempt(options, migrator).await {
            Err(error) if error.lacks_lock() && since.elapsed() < LOCK_BOUND => {
                tracing::warn!(error = error_chain(&error), "a migration does not get its locks; trying again");
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            done => return done,
        }
    }
}

/// One attempt, on a connection of its own. Closing the connection releases its locks.
async fn attempt(options: &PgConnectOptions, migrator: &Migrator) -> Result<(), MigrationError> {
    let mut connection = opening::open(&options.clone().options(SESSION), &[]).await?;
    let row = sqlx::raw_sql(CHECK).fetch_one(&mut connection).await?;
    let (encoding, lock_timeout): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if encoding != "UTF8" {
        return Err(MigrationError::WrongEncoding(encoding));
    }
    if lock_timeout != SESSION[0].1 {
        // A pooler has dropped the setting.
        let mut other = opening::open(options, &[]).await?;
        if pooler::share_sessions(&mut connection, &mut other).await? {
            return Err(PoolerFault::SharesSessions.into());
        }
        other.close().await?;
        sqlx::raw_sql(SET_SESSION).execute(&mut connection).await?;
    }
    migrator.run_direct(None, &mut connection, false).await?;
    connection.close().await?;
    Ok(())
}
