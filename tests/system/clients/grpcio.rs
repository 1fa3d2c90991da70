//! Runs `tests/clients/grpcio_client.py` as a process.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use serde::Deserialize;
use tempfile::NamedTempFile;
use teppan_shared::contract;
use teppan_tests::harness;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::service_config;

/// A grpcio client that repeats one call until it is ended.
pub struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    answered: u64,
    _descriptors: NamedTempFile,
}

/// How many calls were answered, and the errors of the calls that failed.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    pub answered: u64,
    pub failed: Vec<String>,
}

impl Client {
    /// Starts a client of these replicas. Returns `None` and prints a line if grpcio is not installed.
    pub fn start(replicas: &[SocketAddr], method: &str, request: &str, key: &str) -> Option<Self> {
        let packages = harness::home().join("tools/python/grpcio");
        if !packages.join("fetched").is_file() {
            println!("SKIPPED: there is no grpcio in {}: run `deploy/local/setup.sh grpcio`", packages.display());
            return None;
        }
        let descriptors = NamedTempFile::new().expect("a file");
        std::fs::write(descriptors.path(), contract::DESCRIPTORS).expect("written");
        let addresses: Vec<_> = replicas.iter().map(ToString::to_string).collect();
        let mut command = Command::new("python3");
        command
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/grpcio_client.py"))
            .arg("--target")
            .arg(format!("ipv4:{}", addresses.join(",")))
            .arg("--service-config")
            .arg(service_config::path())
            .arg("--descriptors")
            .arg(descriptors.path())
            .args(["--method", method, "--request", request, "--key", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("python3 runs");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Some(Self { child, lines, answered: 0, _descriptors: descriptors })
    }

    /// Waits until `more` further calls were answered.
    pub async fn wait_for_answers(&mut self, more: u64) {
        let enough = self.answered + more;
        let reading = async {
            while self.answered < enough {
                let line =
                    self.lines.next_line().await.expect("read").expect("the client runs until its stdin is closed");
                self.answered = line.parse().expect("a number of calls");
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), reading).await.expect("calls are answered");
    }

    /// Ends the client by closing its stdin.
    pub async fn end(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let mut last = String::new();
        while let Some(line) = self.lines.next_line().await.expect("read") {
            last = line;
        }
        assert!(self.child.wait().await.expect("it ends").success());
        serde_json::from_str(&last).expect("the outcome")
    }
}
