//! Prometheus or Alertmanager as a child process.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::{harness, stripe::exchange};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// After SIGTERM: Prometheus writes down what it has in memory.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A program did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{} cannot be started; run `deploy/local/setup.sh prometheus` first", path.display())]
    Spawn { path: PathBuf, source: io::Error },
    #[error("{program} is not ready; it said:\n{said}")]
    Silent { program: &'static str, said: String },
    #[error("its configuration cannot be written")]
    Configuration(#[from] io::Error),
}

/// A running program. [`Program::stop`] ends it in order; dropped, it is killed.
pub struct Program {
    pub address: SocketAddr,
    child: Child,
    _log: AbortOnDropHandle<()>,
}

/// The line of its log that tells where it listens.
#[derive(Deserialize)]
struct Line {
    msg: String,
    address: SocketAddr,
}

/// Where set-up puts the program.
pub fn path(program: &str) -> PathBuf {
    // Its arguments are seen from another folder, and so is this.
    let path = harness::home().join("tools/bin").join(program);
    path.canonicalize().unwrap_or(path)
}

impl Program {
    /// Starts a program that writes its log as JSON, and waits until it is ready.
    pub async fn start(program: &'static str, folder: &Path, arguments: &[String]) -> Result<Self, ProgramError> {
        let path = path(program);
        let mut command = Command::new(&path);
        command
            .args(arguments)
            .args(["--log.format=json", "--web.listen-address=127.0.0.1:0"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal reaches only the tool, which then stops it in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| ProgramError::Spawn { path, source })?;
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let mut said = String::new();
        let listening = tokio::time::timeout(START_TIMEOUT, listening(&mut lines, &mut said)).await;
        let Ok(Some(address)) = listening else { return Err(ProgramError::Silent { program, said }) };
        let log = TaskTracker::new().spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        if tokio::time::timeout(START_TIMEOUT, ready(address)).await.is_err() {
            return Err(ProgramError::Silent { program, said });
        }
        Ok(Self { address, child, _log: AbortOnDropHandle::new(log) })
    }

    /// Sends SIGTERM and waits for the end; after a bound, kills it.
    pub async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            // It may have ended just now.
            let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// It listens before it has read its configuration.
async fn ready(address: SocketAddr) {
    while exchange(address, b"GET /-/ready HTTP/1.0\r\n\r\n").await.0 != 200 {
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

async fn listening(lines: &mut Lines<BufReader<ChildStderr>>, said: &mut String) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        // A line before it names the address that was asked for, with the port 0.
        if let Ok(Line { msg, address }) = serde_json::from_str(&line)
            && msg == "Listening on"
        {
            return Some(address);
        }
        said.push_str(&line);
        said.push('\n');
    }
    None
}
