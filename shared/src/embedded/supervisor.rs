//! Starting the shared server again when it has died.

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

/// How often the server is checked. A check reads two small files.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The pauses after failed starts.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Watches the shared server for one process that uses it.
///
/// Each process of a home has one. They take turns by `start.lock`: the first starts the server, the others find it
/// running. The server keeps its port, so that clients only have to connect again.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) cluster: Cluster,
    pub(super) login: Login,
}

impl Supervisor {
    /// What [`run`](Self::run) may take to end: the longest start, after the longest stop.
    pub const END_BOUND: Duration = Duration::from_mins(5);

    /// Watches until `stopping` is cancelled. A start that is under way then is finished first, so that the last
    /// process to leave finds a server that it can stop.
    pub async fn run(self, stopping: CancellationToken) {
        let mut failures = 0;
        let mut next_look = LOOK_EVERY;
        while stopping.run_until_cancelled(tokio::time::sleep(next_look)).await.is_some() {
            next_look = LOOK_EVERY;
            if self.cluster.pid().is_some() && !self.cluster.is_stopping() {
                continue;
            }
            let Some(turn) = stopping.run_until_cancelled(self.turn()).await else { return };
            match self.bring_back(turn).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    next_look = BACKOFF.after(failures);
                    let (error, retry_in_ms) = (error_chain(&error), next_look.as_millis());
                    tracing::error!(error, retry_in_ms, "the private PostgreSQL cannot be started again");
                }
            }
        }
    }

    async fn turn(&self) -> Result<File, EmbeddedError> {
        lock::exclusive(&self.cluster.start_lock(), &self.cluster.account).await
    }

    async fn bring_back(&self, turn: Result<File, EmbeddedError>) -> Result<(), EmbeddedError> {
        let turn = turn?;
        let port = self.login.port;
        // Not by one of us, who would hold the lock. After SIGTERM the server takes nobody in and waits for its clients,
        // who are the services that need it: it is made to end, and started again.
        if self.cluster.is_stopping() {
            tracing::warn!(port, "somebody stops the private PostgreSQL, which is still in use: it is stopped at once");
            self.cluster.stop(Stop::Fast, turn.as_fd()).await?;
        }
        if self.cluster.find_running(&self.login.password).await?.is_none() {
            tracing::warn!(port, "the private PostgreSQL has died: starting it again");
            self.cluster.start(Some(port)).await?;
            tracing::info!(port, "the private PostgreSQL was started again");
        }
        drop(turn);
        Ok(())
    }
}
