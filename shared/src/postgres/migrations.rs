//! The schema is brought up to date.

use sqlx::{
    Connection as _, Executor as _, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use super::error::is_away;

/// Why the migrations are not all applied. What had been applied before stays.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The tables are not those that these migrations make, and nothing was changed.
    #[error(
        "the tables in this database were made by other migrations than those of this program (number {0} differs), as \
         builds from before the first release had them. They cannot be carried over, and nothing was changed. Start with \
         an empty database: name one in DATABASE_URL; or, where it is the private one, stop everything that uses it and \
         remove the folder `postgres` in TEPPAN_HOME (.teppan unless set), which deletes what is stored there"
    )]
    OtherTables(i64),
    /// The database cannot store every text, or does not know what its bytes mean. Another one can be made
    /// meanwhile under the same name.
    #[error(
        "the encoding of the database is {0}, and must be UTF8: make another one with CREATE DATABASE … ENCODING 'UTF8' \
         TEMPLATE template0, and name it in DATABASE_URL"
    )]
    WrongEncoding(String),
    #[error("a migration cannot be applied")]
    Failed(#[source] MigrateError),
}

impl MigrationError {
    /// Whether waiting may help: the database is unavailable, or became so in the middle.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Failed(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => is_away(error),
            _ => false,
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

/// Applies the migrations that are missing. Replicas that start together take turns.
pub(super) async fn apply(options: &PgConnectOptions, migrator: &Migrator) -> Result<(), MigrationError> {
    // A connection of its own, because a migration may take longer than a statement may.
    let mut connection = PgConnection::connect_with(options).await.map_err(MigrateError::from)?;
    connection.execute("SET statement_timeout = 0").await.map_err(MigrateError::from)?;
    let encoding: String =
        sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut connection).await.map_err(MigrateError::from)?;
    if encoding != "UTF8" {
        return Err(MigrationError::WrongEncoding(encoding));
    }
    migrator.run_direct(None, &mut connection, false).await?;
    connection.close().await.map_err(MigrateError::from)?;
    Ok(())
}
