//! A service process that is killed or stopped, and started again where it was.

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
    /// Starts one. From then on it keeps its port.
    pub async fn start(which: Which, mut environment: HashMap<String, String>) -> Self {
        let process = Process::start(which, &environment).await.unwrap_or_else(|error| panic!("{error}"));
        let grpc = process.grpc;
        environment.insert("LISTEN_ADDR".to_owned(), grpc.to_string());
        Self { which, environment, grpc, process: Some(process) }
    }

    /// Ends it by SIGKILL, and starts it again.
    pub async fn kill_and_restart(&mut self) {
        let mut killed = self.process.take().expect("it runs");
        killed.kill().await.expect("it can be killed");
        self.start_again().await;
    }

    /// Ends it in order, and starts it again. Returns when it is serving.
    pub async fn stop_and_restart(&mut self) {
        assert!(self.process.take().expect("it runs").stop().await, "it ends in order");
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

    /// Ends it in order.
    pub async fn stop(mut self) -> bool {
        self.process.take().expect("it runs").stop().await
    }
}
