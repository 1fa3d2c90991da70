//! The login of a running server.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::error::EmbeddedError;

/// The only role of an embedded server; it owns everything.
pub(super) const ROLE: &str = "teppan";
pub(super) const ADDRESS: &str = "127.0.0.1";

/// How long a server on loopback may take to answer before it counts as not answering.
const ANSWER_MAX: Duration = Duration::from_secs(5);

const DUPLICATE_DATABASE: &str = "42P04";
const UNIQUE_VIOLATION: &str = "23505";

#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) port: u16,
    pub(super) password: SecretString,
}

impl Login {
    /// The URL of a database, with the password. TLS is disabled: nothing leaves the machine, and requesting TLS would
    /// cost a round trip.
    pub(super) fn url(&self, database: &str) -> SecretString {
        let password = self.password.expose_secret();
        let port = self.port;
        format!("postgres://{ROLE}:{password}@{ADDRESS}:{port}/{database}?sslmode=disable").into()
    }

    /// Whether the server that answers is the one of this data folder.
    ///
    /// A matching password is not enough: a copied project has the same password, and its pid file still has the port
    /// of the original server.
    pub(super) async fn is_for(&self, data: &Path) -> bool {
        let folder = tokio::time::timeout(ANSWER_MAX, self.data_folder()).await;
        matches!(folder, Ok(Ok(folder)) if folder == data.as_os_str().as_bytes())
    }

    /// Creates a database if it does not exist. Any number of processes may do so at once.
    pub(super) async fn ensure_database(&self, name: &str) -> Result<(), EmbeddedError> {
        check_name(name)?;
        let mut connection = self.connect().await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            // A parameter cannot be used for the name of a database. The name was checked above.
            let create = AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
            match connection.execute(sqlx::query(create)).await {
                Err(error) if !is_lost_race(&error) => return Err(error.into()),
                _ => tracing::info!(database = name, "database created"),
            }
        }
        connection.close().await?;
        Ok(())
    }

    /// The path of the data folder as bytes, because it need not be valid text.
    async fn data_folder(&self) -> Result<Vec<u8>, sqlx::Error> {
        let mut connection = self.connect().await?;
        let folder = "SELECT textsend(current_setting('data_directory'))";
        let folder = sqlx::query_scalar(folder).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(folder)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .host(ADDRESS)
            .port(self.port)
            .username(ROLE)
            .password(self.password.expose_secret())
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        PgConnection::connect_with(&options).await
    }
}

/// Whether a concurrent process has created the database. Depending on the timing, PostgreSQL reports one of two
/// errors.
fn is_lost_race(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == DUPLICATE_DATABASE || code == UNIQUE_VIOLATION)
}

fn check_name(name: &str) -> Result<(), EmbeddedError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=63).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(EmbeddedError::DatabaseName { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_with_special_characters_is_refused() {
        assert!(check_name("booking_2").is_ok());
        for bad in ["", "Booking", "a\"; DROP DATABASE b; --", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn printing_a_login_does_not_print_the_password() {
        let login = Login { port: 5432, password: "hunter2".to_owned().into() };
        assert!(!format!("{login:?} {:?}", login.url("booking")).contains("hunter2"));
    }
}
