//! The server that keeps data. All processes of one home share it.
//!
//! Two lock files decide which process starts and which one stops it:
//!
//! - Each process holds `users.lock` in shared mode while it uses the server.
//! - A process holds `start.lock` exclusively while it starts or stops the server.
//!
//! A start and a stop each hold `start.lock` for their whole duration, so they never overlap. If a process starts while
//! another stops, it either finds the server stopped and starts it, or it already holds `users.lock` when the other
//! process checks for further users. Of two concurrent first starts, one creates the data and the other finds them.
//!
//! A killed process releases its locks but does not stop the server. The next start finds the running server, and its
//! last user stops it. If a process is killed while `initdb` or `pg_ctl` runs, that program keeps `start.lock` (see
//! [`run`]), and the next process waits for it to end. If a process is killed while the server starts, the next process
//! finds that server.
//!
//! If the server crashes, the first process that notices restarts it under the same lock (see [`Supervisor`]).
//!
//! [`run`]: super::run::run

use std::fs::{File, TryLockError};
use std::os::fd::AsFd;
use std::path::Path;

use secrecy::SecretString;

use super::account::Account;
use super::cluster::{Cluster, Stop, start_lock_path};
use super::error::EmbeddedError;
use super::login::Login;
use super::programs::Programs;
use super::settings::Durability;
use super::supervisor::Supervisor;
use super::{home, lock};

/// This process's use of the durable PostgreSQL of a home folder.
///
/// Call [`stop`](Self::stop) when done. If this is only dropped, as by a crash, the server keeps running, and the next
/// start finds it.
#[derive(Debug)]
pub struct SharedServer {
    cluster: Cluster,
    login: Login,
    /// Locked in shared mode while this process uses the server.
    users: File,
}

impl SharedServer {
    /// Uses the server of this home (`.teppan`); creates and starts it if necessary.
    ///
    /// The data are kept in `<home>/postgres/data`. A first start takes one to three seconds, a later one less, and
    /// finding a running server a few milliseconds.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] states the remedy.
    pub async fn start(home: &Path) -> Result<Self, EmbeddedError> {
        let home = home::prepare(home)?;
        let folder = home.join("postgres");
        let account = Account::choose(&home, &folder)?;
        home::make_private_folder(&folder, &account)?;

        let start_lock = lock::exclusive(&start_lock_path(&folder), &account).await?;
        let users = lock::shared(&folder.join("users.lock"), &account)?;

        let programs = Programs::find(&home, Some(&folder.join("data"))).await?;
        let account = account.with_access_to(&programs, &folder).await?;
        let cluster = Cluster { programs, account, folder, durability: Durability::Durable };
        let login = find_or_start(&cluster, &start_lock).await?;
        Ok(Self { cluster, login, users })
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

    /// The task that restarts the server after a crash. It must end before [`stop`](Self::stop).
    pub fn supervisor(&self) -> Supervisor {
        Supervisor { cluster: self.cluster.clone(), login: self.login.clone() }
    }

    /// Ends this process's use of the server. The last user stops the server in order, with everything written to disk.
    /// Close all connections first.
    ///
    /// # Errors
    /// The server could not be stopped. It is still running, and the next start will find it.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        let folder = &self.cluster.folder;
        let start_lock = lock::exclusive(&self.cluster.start_lock_path(), &self.cluster.account).await?;

        let users = folder.join("users.lock");
        self.users.unlock().map_err(EmbeddedError::io("unlock", &users))?;
        match self.users.try_lock() {
            Ok(()) => {
                tracing::info!("stopping the embedded PostgreSQL; no other process uses it");
                self.cluster.stop(Stop::Fast, start_lock.as_fd()).await
            }
            Err(TryLockError::WouldBlock) => {
                tracing::info!("other processes still use the embedded PostgreSQL; it keeps running");
                Ok(())
            }
            Err(TryLockError::Error(error)) => Err(EmbeddedError::io("lock", &users)(error)),
        }
    }
}

/// Finds the running server, or creates and starts it. The caller holds `start.lock`.
async fn find_or_start(cluster: &Cluster, start_lock: &File) -> Result<Login, EmbeddedError> {
    let password = cluster.create(start_lock.as_fd()).await?;
    if let Some(login) = cluster.find_running(&password).await? {
        tracing::info!(port = login.port, "using the running embedded PostgreSQL");
        return Ok(login);
    }
    match cluster.start(None).await {
        Ok(port) => {
            tracing::info!(port, data = %cluster.data().display(), "embedded PostgreSQL started");
            Ok(Login { port, password })
        }
        // A process that was killed recently had started a server, which has written its pid file only now.
        Err(error @ EmbeddedError::DidNotStart { .. }) => {
            let found = cluster.find_running(&password).await?;
            found
                .inspect(|login| tracing::info!(port = login.port, "found the embedded PostgreSQL starting"))
                .ok_or(error)
        }
        Err(error) => Err(error),
    }
}
