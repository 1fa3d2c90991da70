//! A server for tests and builds that leaves nothing behind.

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

/// A PostgreSQL in a temporary folder. When it is closed or dropped, or when the process ends in
/// whatever way, the server is stopped and the folder removed.
#[derive(Debug)]
pub struct ThrowawayServer {
    cluster: Cluster,
    login: Login,
    guard: Guard,
}

impl ThrowawayServer {
    /// Creates and starts a server of its own, in about a second. The home is where the programs
    /// that `make setup` brought are looked for.
    ///
    /// A volatile one lives in the system's temporary folder, a durable one in the home: a
    /// temporary folder is often in memory, where waiting for the disk means nothing.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] says what to do about it.
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
    /// Each [`EmbeddedError`] says what to do about it.
    pub async fn start_in(parent: &Path, home: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        let home = home::prepare(home)?;
        let account = Account::choose(&home, &home.join("postgres"))?;
        let programs = Programs::find(&home, None).await?;
        let parent = parent.canonicalize().map_err(EmbeddedError::io("find", parent))?;
        let account = account.reaching(&programs, &parent).await?;
        let name = Alphanumeric.sample_string(&mut rand::rng(), 10);
        let cluster = Cluster { programs, account, folder: parent.join(format!("teppan-postgres-{name}")), durability };

        // The guard comes before the folder, so that at no moment an end of this process leaves it.
        let guard = Guard::set(&cluster.folder, &cluster.stop_command(Stop::Immediate))?;
        home::make_private_folder(&cluster.folder, &cluster.account)?;
        let password = cluster.create(guard.hold()).await?;
        let port = cluster.start(None).await?;
        tracing::info!(port, folder = %cluster.folder.display(), "throwaway PostgreSQL started");
        Ok(Self { cluster, login: Login { port, password }, guard })
    }

    /// The URL of a database on this server, with the password.
    pub fn url(&self, database: &str) -> SecretString {
        self.login.url(database)
    }

    /// Creates a database unless it is there; any number of processes may do so at once.
    ///
    /// # Errors
    /// [`EmbeddedError::DatabaseName`] for a name that is not plain, else what PostgreSQL said.
    pub async fn ensure_database(&self, name: &str) -> Result<(), EmbeddedError> {
        self.login.ensure_database(name).await
    }

    /// The port on 127.0.0.1, the same for the server's whole life.
    pub fn port(&self) -> u16 {
        self.login.port
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.cluster.pid()
    }

    /// Takes the database away in order: clients are cut off, everything is written out.
    ///
    /// # Errors
    /// The server did not stop.
    pub async fn stop(&self) -> Result<(), EmbeddedError> {
        self.cluster.stop(Stop::Fast, self.guard.hold()).await
    }

    /// Takes the database away as a crash would. A volatile server may lose the last commits.
    ///
    /// # Errors
    /// The server did not stop.
    pub async fn crash(&self) -> Result<(), EmbeddedError> {
        self.cluster.stop(Stop::Immediate, self.guard.hold()).await
    }

    /// Brings the database back on the same port, with its data, however it went away.
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
