//! A service process that is killed, suspended or stopped, and restarted on the same ports.

use std::{collections::HashMap, io, net::SocketAddr};

use crate::{
    harness,
    launch::{LaunchError, Process, Shown, Which},
    signal::signal,
    tool::wait_until_serving,
};

pub struct Replica {
    which: Which,
    environment: HashMap<String, String>,
    /// The part of its log that is shown.
    shown: Shown,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    process: Option<Process>,
}

impl Replica {
    /// Starts a process, which keeps its ports from now on.
    pub async fn start(which: Which, environment: HashMap<String, String>) -> Self {
        Self::try_start(which, environment, Shown::Errors).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`Replica::start`], with a choice of the shown part of its log.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub async fn try_start(
        which: Which,
        mut environment: HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        let process = Process::start_showing(which, &environment, shown).await?;
        let (grpc, http) = (process.grpc, process.http);
        environment.insert("LISTEN_ADDR".to_owned(), grpc.to_string());
        environment.insert("HTTP_ADDR".to_owned(), http.to_string());
        Ok(Self { which, environment, shown, grpc, http, process: Some(process) })
    }

    /// Kills the process by SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut killed) = self.process.take() {
            killed.kill().await.expect("it can be killed");
        }
    }

    /// Sends a signal to the process, such as `STOP` and `CONT`.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let id = self.process.as_ref().and_then(Process::id);
        signal(name, &id.into_iter().collect::<Vec<_>>())
    }

    /// Sets a variable of the next start.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    /// Kills the process by SIGKILL, and starts it again.
    pub async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// Stops the process by SIGTERM, and starts it again. Returns when the process is serving.
    pub async fn stop_and_restart(&mut self) {
        assert!(self.restart().await, "the process exits with code 0");
        wait_until_serving(self.which.binary(), self.grpc).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops the process by SIGTERM, and starts it again. Returns when it listens: whether it exited with code 0.
    pub async fn restart(&mut self) -> bool {
        let stopped = match self.process.take() {
            Some(process) => process.stop().await,
            None => true,
        };
        self.start_again().await;
        stopped
    }

    /// Starts a killed process again. Returns when it listens.
    pub async fn start_again(&mut self) {
        harness::eventually("its port is free again", async || {
            self.process = Process::start_showing(self.which, &self.environment, self.shown).await.ok();
            self.process.is_some()
        })
        .await;
    }

    /// Stops the process by SIGTERM.
    pub async fn stop(mut self) -> bool {
        self.process.take().expect("the process runs").stop().await
    }
}
