//! Replaces `embedded` in programs that are built without the feature `private-postgres`. Settings then require
//! DATABASE_URL, and other uses of the private PostgreSQL return [`EmbeddedError`].

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

/// Whether this program can start a PostgreSQL of its own.
pub const IS_BUILT_IN: bool = false;

/// The only error of the private PostgreSQL in such a program.
#[derive(Debug, thiserror::Error)]
#[error("this program has no private PostgreSQL: set DATABASE_URL")]
pub struct EmbeddedError;

/// Has no value.
#[derive(Debug)]
pub struct SharedServer(Infallible);

/// Has no value.
pub struct Supervisor(Infallible);

/// # Errors
/// Always.
pub fn prepare_home(_: &Path) -> Result<PathBuf, EmbeddedError> {
    Err(EmbeddedError)
}

/// Does nothing, because there is no private server.
///
/// # Errors
/// Never.
pub fn exec_without_postgres_variables() -> io::Result<()> {
    Ok(())
}

impl SharedServer {
    /// # Errors
    /// Always.
    #[expect(clippy::unused_async, reason = "the function in `embedded` is async")]
    pub async fn start(_: &Path) -> Result<Self, EmbeddedError> {
        Err(EmbeddedError)
    }

    pub fn url(&self, _: &str) -> SecretString {
        match self.0 {}
    }

    /// # Errors
    /// Never called, because there is no server.
    #[expect(clippy::unused_async, reason = "the function in `embedded` is async")]
    pub async fn ensure_database(&self, _: &str) -> Result<(), EmbeddedError> {
        match self.0 {}
    }

    pub fn supervisor(&self) -> Supervisor {
        match self.0 {}
    }

    /// # Errors
    /// Never called, because there is no server.
    #[expect(clippy::unused_async, reason = "the function in `embedded` is async")]
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        match self.0 {}
    }
}

impl Supervisor {
    /// Zero, because there is nothing to wait for.
    pub const END_BOUND: Duration = Duration::ZERO;

    #[expect(clippy::unused_async, reason = "the function in `embedded` is async")]
    pub async fn run(self, _: CancellationToken) {
        match self.0 {}
    }
}
