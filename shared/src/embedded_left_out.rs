//! Takes the place of `embedded` in programs that are built without the feature `private-postgres`: settings then
//! require DATABASE_URL, and whatever else asks for the private PostgreSQL is answered [`EmbeddedError`].

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

/// The only way in which the private PostgreSQL can fail here.
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

/// Variables of PostgreSQL cannot reach a server that is not there.
///
/// # Errors
/// Never.
pub fn shed_postgres_variables() -> io::Result<()> {
    Ok(())
}

impl SharedServer {
    /// # Errors
    /// Always.
    #[expect(clippy::unused_async, reason = "that of `embedded` is")]
    pub async fn start(_: &Path) -> Result<Self, EmbeddedError> {
        Err(EmbeddedError)
    }

    pub fn url(&self, _: &str) -> SecretString {
        match self.0 {}
    }

    /// # Errors
    /// There is no server that could be asked.
    #[expect(clippy::unused_async, reason = "that of `embedded` is")]
    pub async fn ensure_database(&self, _: &str) -> Result<(), EmbeddedError> {
        match self.0 {}
    }

    pub fn supervisor(&self) -> Supervisor {
        match self.0 {}
    }

    /// # Errors
    /// There is no server that could be stopped.
    #[expect(clippy::unused_async, reason = "that of `embedded` is")]
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        match self.0 {}
    }
}

impl Supervisor {
    /// There is nothing to wait for.
    pub const END_BOUND: Duration = Duration::ZERO;

    #[expect(clippy::unused_async, reason = "that of `embedded` is")]
    pub async fn run(self, _: CancellationToken) {
        match self.0 {}
    }
}
