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
/// The bound after SIGTERM: Prometheus first writes its memory to disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A program did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{} cannot be started; run `deploy/local/setup.sh prometheus` first", path.display())]
    Spawn { path: PathBuf, source: io::Error },
    #[error("{program} is not ready; it printed:\n{output}")]
    NotReady { program: &'static str, output: String },
    #[error("its configuration cannot be written")]
    Configuration(#[from] io::Error),
}

/// A running program. [`Program::stop`] stops it cleanly; dropping it kills it.
pub struct Program {
    pub address: SocketAddr,
    child: Child,
    _log: AbortOnDropHandle<()>,
}

/// The log line that names the address of the listener.
#[derive(Deserialize)]
struct Line {
    msg: String,
    address: SocketAddr,
}

/// The path at which set-up installs the program.
pub fn path(program: &str) -> PathBuf {
    // The program runs in another folder, so the path is absolute.
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
            // Ctrl-C in the terminal signals only the tool, which then stops the program.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| ProgramError::Spawn { path, source })?;
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let mut output = String::new();
        let listening = tokio::time::timeout(START_TIMEOUT, listening(&mut lines, &mut output)).await;
        let Ok(Some(address)) = listening else { return Err(ProgramError::NotReady { program, output }) };
        let log = TaskTracker::new().spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        if tokio::time::timeout(START_TIMEOUT, ready(address)).await.is_err() {
            return Err(ProgramError::NotReady { program, output });
        }
        Ok(Self { address, child, _log: AbortOnDropHandle::new(log) })
    }

    /// Sends SIGTERM and waits for the end; kills the program after the bound.
    pub async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            // The program may have ended already.
            let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Waits until the program has read its configuration, which happens after it listens.
async fn ready(address: SocketAddr) {
    while exchange(address, b"GET /-/ready HTTP/1.0\r\n\r\n").await.0 != 200 {
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

async fn listening(lines: &mut Lines<BufReader<ChildStderr>>, output: &mut String) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        // An earlier line names the requested address, with port 0.
        if let Ok(Line { msg, address }) = serde_json::from_str(&line)
            && msg == "Listening on"
        {
            return Some(address);
        }
        output.push_str(&line);
        output.push('\n');
    }
    None
}
