//! Restarts the shared server after a crash.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, Stop};
use super::error::EmbeddedError;
use super::lock;
use super::login::Login;
use crate::backoff::Backoff;
use crate::error_chain::error_chain;

/// The interval of the checks. A check reads two small files.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The pauses after failed starts.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Watches the shared server for one process that uses it.
///
/// Each process of a home has one. `start.lock` orders them: the first one restarts the server, the others find it
/// running. The server keeps its port, so that clients only have to reconnect.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) cluster: Cluster,
    pub(super) login: Login,
}

impl Supervisor {
    /// How long [`run`](Self::run) may take to end: the longest stop and then the longest start.
    pub const END_BOUND: Duration = Duration::from_mins(5);

    /// Watches until `stopping` is cancelled. A running start is finished first, so that the last user of the server
    /// can stop it.
    pub async fn run(self, stopping: CancellationToken) {
        let mut failures = 0;
        let mut pause = CHECK_INTERVAL;
        while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = CHECK_INTERVAL;
            if self.cluster.pid().is_some() && !self.cluster.is_stopping() {
                continue;
            }
            let Some(start_lock) = stopping.run_until_cancelled(self.take_start_lock()).await else { return };
            match self.restart(start_lock).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    pause = BACKOFF.after(failures);
                    let (error, retry_in_ms) = (error_chain(&error), pause.as_millis());
                    tracing::error!(error, retry_in_ms, "the private PostgreSQL cannot be restarted");
                }
            }
        }
    }

    async fn take_start_lock(&self) -> Result<File, EmbeddedError> {
        lock::exclusive(&self.cluster.start_lock_path(), &self.cluster.account).await
    }

    async fn restart(&self, start_lock: Result<File, EmbeddedError>) -> Result<(), EmbeddedError> {
        let start_lock = start_lock?;
        let port = self.login.port;
        // A user of the server would hold the lock while it stops the server, so another program has sent SIGTERM. Then
        // the server accepts no connections and waits for its clients, which are the services that need it. So it is
        // stopped at once and started again.
        if self.cluster.is_stopping() {
            tracing::warn!(port, "another program is stopping the private PostgreSQL, which is in use; restarting it");
            self.cluster.stop(Stop::Fast, start_lock.as_fd()).await?;
        }
        if self.cluster.find_running(&self.login.password).await?.is_none() {
            tracing::warn!(port, "the private PostgreSQL has ended unexpectedly; restarting it");
            self.cluster.start(Some(port)).await?;
            tracing::info!(port, "the private PostgreSQL was restarted");
        }
        drop(start_lock);
        Ok(())
    }
}
