//! A server for tests and builds that leaves no files or processes.

use std::path::Path;

use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;

use super::account::Account;
use super::cluster::{Cluster, Stop};
use super::error::EmbeddedError;
use super::guard::Guard;
use super::home;
use super::login::Login;
use super::programs::Programs;
use super::settings::Durability;

/// A PostgreSQL in a temporary folder. When it is closed or dropped, or when the process ends in any way, the server is
/// stopped and the folder removed.
#[derive(Debug)]
pub struct ThrowawayServer {
    cluster: Cluster,
    login: Login,
    guard: Guard,
}

impl ThrowawayServer {
    /// Creates and starts a server, in about a second. `home` may have the programs that `make setup` installed.
    ///
    /// The data of a volatile server are in the system's temporary folder. Those of a durable one are in the home,
    /// because a temporary folder is often in memory.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] states the remedy.
    pub async fn start(home: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        let parent = match durability {
            Durability::Durable => home::prepare(home)?,
            Durability::Volatile => std::env::temp_dir(),
        };
        Self::start_in(&parent, home, durability).await
    }

    /// [`ThrowawayServer::start`] with its data in this folder, such as a small disk that a test fills.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] states the remedy.
    pub async fn start_in(parent: &Path, home: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        let home = home::prepare(home)?;
        let account = Account::choose(&home, &home.join("postgres"))?;
        let programs = Programs::find(&home, None).await?;
        let parent = parent.canonicalize().map_err(EmbeddedError::io("find", parent))?;
        let account = account.with_access_to(&programs, &parent).await?;
        let name = Alphanumeric.sample_string(&mut rand::rng(), 10);
        let cluster = Cluster { programs, account, folder: parent.join(format!("teppan-postgres-{name}")), durability };

        // The guard starts before the folder exists, so that the folder is removed even if this process ends now.
        let guard = Guard::set(&cluster.folder, &cluster.stop_command(Stop::Immediate))?;
        home::make_private_folder(&cluster.folder, &cluster.account)?;
        let password = cluster.create(guard.pipe()).await?;
        let port = cluster.start(None).await?;
        tracing::info!(port, folder = %cluster.folder.display(), "throwaway PostgreSQL started");
        Ok(Self { cluster, login: Login { port, password }, guard })
    }

    /// The URL of a database on this server, with the password.
    pub fn url(&self, database: &str) -> SecretString {
        self.login.url(database)
    }

    /// Creates a database if it does not exist. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`EmbeddedError::DatabaseName`] for an invalid name, otherwise PostgreSQL's error.
    pub async fn ensure_database(&self, name: &str) -> Result<(), EmbeddedError> {
        self.login.ensure_database(name).await
    }

    /// The port on 127.0.0.1; it never changes.
    pub fn port(&self) -> u16 {
        self.login.port
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.cluster.pid()
    }

    /// Stops the server in order: clients are disconnected, and everything is written to disk.
    ///
    /// # Errors
    /// The server did not stop.
    pub async fn stop(&self) -> Result<(), EmbeddedError> {
        self.cluster.stop(Stop::Fast, self.guard.pipe()).await
    }

    /// Stops the server like a crash. A volatile server may lose the last commits.
    ///
    /// # Errors
    /// The server did not stop.
    pub async fn crash(&self) -> Result<(), EmbeddedError> {
        self.cluster.stop(Stop::Immediate, self.guard.pipe()).await
    }

    /// Starts a stopped or crashed server on the same port, with its data.
    ///
    /// # Errors
    /// The server did not start.
    pub async fn restart(&self) -> Result<(), EmbeddedError> {
        if self.cluster.find_running(&self.login.password).await?.is_none() {
            self.cluster.start(Some(self.login.port)).await?;
        }
        Ok(())
    }

    /// Stops the server and removes its folder; returns when both are gone.
    pub async fn close(self) {
        self.guard.release().await;
    }
}
