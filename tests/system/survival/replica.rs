//! A service process that is killed or stopped, and restarted on the same port.

use std::{collections::HashMap, net::SocketAddr};

use teppan_tests::{
    harness,
    launch::{Process, Which},
    tool::wait_until_serving,
};

pub struct Replica {
    which: Which,
    environment: HashMap<String, String>,
    pub grpc: SocketAddr,
    process: Option<Process>,
}

impl Replica {
    /// Starts a process, which keeps its port from now on.
    pub async fn start(which: Which, mut environment: HashMap<String, String>) -> Self {
        let process = Process::start(which, &environment).await.unwrap_or_else(|error| panic!("{error}"));
        let grpc = process.grpc;
        environment.insert("LISTEN_ADDR".to_owned(), grpc.to_string());
        Self { which, environment, grpc, process: Some(process) }
    }

    /// Kills the process by SIGKILL, and starts it again.
    pub async fn kill_and_restart(&mut self) {
        let mut killed = self.process.take().expect("the process runs");
        killed.kill().await.expect("it can be killed");
        self.start_again().await;
    }

    /// Stops the process by SIGTERM, and starts it again. Returns when the process is serving.
    pub async fn stop_and_restart(&mut self) {
        assert!(self.process.take().expect("the process runs").stop().await, "the process exits with code 0");
        self.start_again().await;
        wait_until_serving(self.which.binary(), self.grpc).await.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn start_again(&mut self) {
        harness::eventually("its port is free again", async || {
            self.process = Process::start(self.which, &self.environment).await.ok();
            self.process.is_some()
        })
        .await;
    }

    /// Stops the process by SIGTERM.
    pub async fn stop(mut self) -> bool {
        self.process.take().expect("the process runs").stop().await
    }
}
