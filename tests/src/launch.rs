//! The services as processes of their own, the way they run in earnest.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// A service has this long to listen: a first start creates the database folder.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Booking,
    Conversation,
}

impl Which {
    pub fn binary(self) -> &'static str {
        match self {
            Self::Booking => "booking-service",
            Self::Conversation => "conversation-service",
        }
    }
}

/// A service did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("{} cannot be started; run `cargo build --workspace --bins` first", path.display())]
    Spawn { path: PathBuf, source: std::io::Error },
    #[error("{service} ended before it listened; it said:\n{said}")]
    Ended { service: &'static str, said: String },
    #[error("{service} did not listen within {} s; it said:\n{said}", START_TIMEOUT.as_secs())]
    Silent { service: &'static str, said: String },
}

/// A running service process. [`Process::stop`] stops it and waits; dropping this only tells it to stop, so
/// that also a tool that ends in an unforeseen way leaves no PostgreSQL behind.
pub struct Process {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    child: Child,
    /// Reads its log to the end, so that it never blocks on writing.
    _log: AbortOnDropHandle<()>,
}

/// What is shown of a service's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    Errors,
    WarningsAndErrors,
}

/// The line of the log that tells where a service listens.
#[derive(Deserialize)]
struct Listening {
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Process {
    /// Starts a service from the folder of the running program. `environment` is added to this
    /// process's own; without addresses in it the ports are free ones. The errors it logs are shown.
    pub async fn start(which: Which, environment: &HashMap<String, String>) -> Result<Self, LaunchError> {
        Self::start_showing(which, environment, Shown::Errors).await
    }

    /// [`Process::start`], with a choice of what is shown of its log.
    pub async fn start_showing(
        which: Which,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        Self::start_program(which, binary(which.binary()), environment, shown).await
    }

    /// [`Process::start_showing`], of the program at this path.
    pub async fn start_program(
        which: Which,
        path: PathBuf,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        Self::start_command(which, Command::new(path), environment, shown).await
    }

    /// [`Process::start_showing`], by a command that becomes the service.
    pub async fn start_command(
        which: Which,
        mut command: Command,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        command
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("HTTP_ADDR", "127.0.0.1:0")
            // Each service has a database of its own: one URL for both can only be a mistake.
            .env_remove("DATABASE_URL")
            .env_remove("DATABASE_URL_FILE")
            // A quieter log would not tell where the service listens.
            .env("LOG_LEVEL", "info")
            .envs(environment)
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal reaches only the tool, which then stops its services in order.
            .process_group(0);
        let path = PathBuf::from(command.as_std().get_program());
        let mut child = command.spawn().map_err(|source| LaunchError::Spawn { path, source })?;
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut lines = BufReader::new(stderr).lines();
        let service = which.binary();
        let mut said = String::new();
        let listening = tokio::time::timeout(START_TIMEOUT, listening(&mut lines, &mut said)).await;
        let Listening { grpc, http } = match listening {
            Ok(Some(listening)) => listening,
            Ok(None) => return Err(LaunchError::Ended { service, said }),
            Err(_) => return Err(LaunchError::Silent { service, said }),
        };
        let show = move |line: &str| {
            if let Some(complaint) = complaint(line, shown) {
                // Nobody may be left to read it.
                let _ = writeln!(io::stderr(), "{service}: {complaint}");
            }
        };
        said.lines().for_each(show);
        let log = TaskTracker::new().spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                show(&line);
            }
        });
        Ok(Self { grpc, http, child, _log: AbortOnDropHandle::new(log) })
    }

    /// The process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself, and tells how.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the process by SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Sends SIGTERM and waits for the end. `true` when the service ended well.
    pub async fn stop(self) -> bool {
        self.stop_hurried(std::future::pending()).await
    }

    /// [`Process::stop`], with a second SIGTERM once `hurry` ends: the service then cuts off what it waits for.
    pub async fn stop_hurried(mut self, hurry: impl Future<Output = ()>) -> bool {
        self.terminate();
        let status = tokio::select! {
            status = self.child.wait() => status,
            () = hurry => {
                self.terminate();
                self.child.wait().await
            }
        };
        status.is_ok_and(|status| status.success())
    }

    fn terminate(&self) {
        if let Some(id) = self.child.id() {
            // It may have ended just now.
            let _ = std::process::Command::new("kill").arg("-TERM").arg(id.to_string()).status();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

async fn listening(lines: &mut Lines<BufReader<ChildStderr>>, said: &mut String) -> Option<Listening> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(listening) = serde_json::from_str(&line) {
            return Some(listening);
        }
        said.push_str(&line);
        said.push('\n');
    }
    None
}

/// A line of the log, for a person to read, when it is one to be shown. What is no log line, such
/// as a panic's, always is.
fn complaint(line: &str, shown: Shown) -> Option<String> {
    let Ok(Value::Object(mut line)) = serde_json::from_str(line) else {
        return Some(line.to_owned());
    };
    let level = line.remove("level").and_then(|level| level.as_str().map(ToOwned::to_owned)).unwrap_or_default();
    match level.as_str() {
        "ERROR" if shown != Shown::Nothing => {}
        "WARN" if shown == Shown::WarningsAndErrors => {}
        _ => return None,
    }
    let said = line.remove("message");
    let said = said.as_ref().and_then(Value::as_str).unwrap_or_default();
    let fields = line.iter().filter(|(name, value)| *name != "timestamp" && *name != "target" && !is_nested(value));
    let fields = fields.map(|(name, value)| format!("{name}={value}"));
    Some([level, said.to_owned()].into_iter().chain(fields).collect::<Vec<_>>().join(" "))
}

/// The spans around a line, which repeat what its fields say.
fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// A program of this workspace, built beside the running one (tests run from a folder below).
pub fn binary(name: &str) -> PathBuf {
    let running = std::env::current_exe().unwrap_or_default();
    running
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_shown_by_its_level() {
        let warning = r#"{"timestamp":"t","level":"WARN","message":"slow","ms":7,"span":{"a":1}}"#;
        assert_eq!(complaint(warning, Shown::Errors), None);
        assert_eq!(complaint(warning, Shown::WarningsAndErrors).as_deref(), Some("WARN slow ms=7"));
        assert_eq!(complaint("thread 'main' panicked", Shown::Errors).as_deref(), Some("thread 'main' panicked"));
    }
}
