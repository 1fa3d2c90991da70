//! The server that keeps data, shared by every process of one home.
//!
//! Two lock files decide who starts and who stops it:
//!
//! - `users.lock` is held *shared* by each process for as long as it uses the server;
//! - `start.lock` is held *alone* while starting or stopping.
//!
//! Both starting and leaving happen under `start.lock`, each as a whole, so they never overlap: a
//! process that starts while another leaves either finds the server stopped and starts it, or is
//! counted as a user before the other looks whether anybody is left. Two first starts at once are
//! one that creates the data and one that finds them.
//!
//! A killed process loses its locks but cannot stop the server. The server then stays, is found
//! by the next start, and is stopped by the last to leave. A process killed while `initdb` or
//! `pg_ctl` runs leaves `start.lock` with that program (see [`run`]), so the next one waits for it
//! to end; one that is killed while the server starts leaves that server to be found.
//!
//! A server that dies is started again by the first process that notices, under the same lock (see [`Supervisor`]).
//!
//! [`run`]: super::run::run

use std::fs::{File, TryLockError};
use std::os::fd::AsFd;
use std::path::Path;

use secrecy::SecretString;

use super::account::Account;
use super::cluster::{Cluster, Stop, start_lock};
use super::error::EmbeddedError;
use super::login::Login;
use super::programs::Programs;
use super::settings::Durability;
use super::supervisor::Supervisor;
use super::{home, lock};

/// This process's share in the durable PostgreSQL of a home folder.
///
/// Call [`stop`](Self::stop) when done. A share that is merely dropped, as by a crash, leaves the
/// server running for the next start to find.
#[derive(Debug)]
pub struct SharedServer {
    cluster: Cluster,
    login: Login,
    /// Held shared: "I am using it".
    users: File,
}

impl SharedServer {
    /// Joins the server of this home (`.teppan`), after creating and starting it where needed.
    ///
    /// The data are in `<home>/postgres/data` and found again at every start. A first start takes
    /// one to three seconds, a later one less, and joining a running server a few milliseconds.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] says what to do about it.
    pub async fn start(home: &Path) -> Result<Self, EmbeddedError> {
        let home = home::prepare(home)?;
        let folder = home.join("postgres");
        let account = Account::choose(&home, &folder)?;
        home::make_private_folder(&folder, &account)?;

        let turn = lock::exclusive(&start_lock(&folder), &account).await?;
        let users = lock::shared(&folder.join("users.lock"), &account)?;

        let programs = Programs::find(&home, Some(&folder.join("data"))).await?;
        let account = account.reaching(&programs, &folder).await?;
        let cluster = Cluster { programs, account, folder, durability: Durability::Durable };
        let login = bring_up(&cluster, &turn).await?;
        Ok(Self { cluster, login, users })
    }

    /// The URL of a database on this server, with the password, for `DATABASE_URL` or sqlx.
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

    /// The task that starts the server again when it dies. It has to end before [`stop`](Self::stop).
    pub fn supervisor(&self) -> Supervisor {
        Supervisor { cluster: self.cluster.clone(), login: self.login.clone() }
    }

    /// Gives up this process's share; the last one stops the server, in order, with everything
    /// written out. Close all connections before.
    ///
    /// # Errors
    /// The server could not be stopped; it is still running, and the next start will find it.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        let folder = &self.cluster.folder;
        let turn = lock::exclusive(&self.cluster.start_lock(), &self.cluster.account).await?;

        let users = folder.join("users.lock");
        self.users.unlock().map_err(EmbeddedError::io("unlock", &users))?;
        match self.users.try_lock() {
            Ok(()) => {
                tracing::info!("stopping the embedded PostgreSQL: nobody else uses it");
                self.cluster.stop(Stop::Fast, turn.as_fd()).await
            }
            Err(TryLockError::WouldBlock) => {
                tracing::info!("leaving the embedded PostgreSQL to the others that use it");
                Ok(())
            }
            Err(TryLockError::Error(error)) => Err(EmbeddedError::io("lock", &users)(error)),
        }
    }
}

/// Finds the server running, or creates what is missing and starts it. Under `start.lock`.
async fn bring_up(cluster: &Cluster, turn: &File) -> Result<Login, EmbeddedError> {
    let password = cluster.create(turn.as_fd()).await?;
    if let Some(login) = cluster.find_running(&password).await? {
        tracing::info!(port = login.port, "using the embedded PostgreSQL that runs already");
        return Ok(login);
    }
    match cluster.start(None).await {
        Ok(port) => {
            tracing::info!(port, data = %cluster.data().display(), "embedded PostgreSQL started");
            Ok(Login { port, password })
        }
        // A process that was killed a moment ago had started one, which wrote its pid file only now.
        Err(error @ EmbeddedError::DidNotStart { .. }) => {
            let found = cluster.find_running(&password).await?;
            found
                .inspect(|login| tracing::info!(port = login.port, "found the embedded PostgreSQL starting"))
                .ok_or(error)
        }
        Err(error) => Err(error),
    }
}
