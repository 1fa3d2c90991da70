//! The services as separate processes, as in production.

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

/// The bound until a service listens: a first start creates the database folder.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The program of the plain service.
pub const PLAIN: &str = "plain";

/// One of the two services.
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
    #[error("{service} ended before it listened; it printed:\n{output}")]
    Ended { service: &'static str, output: String },
    #[error("{service} did not listen within {} s; it printed:\n{output}", START_TIMEOUT.as_secs())]
    NotListening { service: &'static str, output: String },
}

/// A running service process. [`Process::stop`] stops it and waits. Dropping it only sends SIGTERM, so a tool that ends
/// unexpectedly leaves no PostgreSQL running.
pub struct Process {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    child: Child,
    /// Reads the log to its end, so that the service never blocks on writing it.
    _log: AbortOnDropHandle<()>,
}

/// The part of a service's log that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    Errors,
    WarningsAndErrors,
}

/// The log line that names the service's addresses.
#[derive(Deserialize)]
struct Listening {
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Process {
    /// Starts a service from the folder of the running program. `environment` is added to this process's environment;
    /// without addresses in it the ports are free ones. Logged errors are shown.
    pub async fn start(which: Which, environment: &HashMap<String, String>) -> Result<Self, LaunchError> {
        Self::start_showing(which, environment, Shown::Errors).await
    }

    /// [`Process::start`], with a choice of the shown part of its log.
    pub async fn start_showing(
        which: Which,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        Self::start_program(which, binary(which.binary()), environment, shown).await
    }

    /// [`Process::start_showing`], with the program at this path.
    pub async fn start_program(
        which: Which,
        path: PathBuf,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        Self::start_command(which, Command::new(path), environment, shown).await
    }

    /// [`Process::start_showing`], with a command that executes the service.
    pub async fn start_command(
        which: Which,
        command: Command,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        Self::start_named(which.binary(), command, environment, shown).await
    }

    /// Starts the plain service, with which the benchmark compares the services. It has no HTTP.
    pub async fn start_plain(environment: &HashMap<String, String>) -> Result<Self, LaunchError> {
        Self::start_named(PLAIN, Command::new(binary(PLAIN)), environment, Shown::Errors).await
    }

    async fn start_named(
        service: &'static str,
        mut command: Command,
        environment: &HashMap<String, String>,
        shown: Shown,
    ) -> Result<Self, LaunchError> {
        command
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("HTTP_ADDR", "127.0.0.1:0")
            // Each service has its own database, so one URL for both can only be a mistake.
            .env_remove("DATABASE_URL")
            .env_remove("DATABASE_URL_FILE")
            // At a quieter level the log would not contain the addresses.
            .env("LOG_LEVEL", "info")
            .envs(environment)
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal signals only the tool, which then stops its services in order.
            .process_group(0);
        let path = PathBuf::from(command.as_std().get_program());
        let mut child = command.spawn().map_err(|source| LaunchError::Spawn { path, source })?;
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut lines = BufReader::new(stderr).lines();
        let mut output = String::new();
        let listening = tokio::time::timeout(START_TIMEOUT, listening(&mut lines, &mut output)).await;
        let Listening { grpc, http } = match listening {
            Ok(Some(listening)) => listening,
            Ok(None) => return Err(LaunchError::Ended { service, output }),
            Err(_) => return Err(LaunchError::NotListening { service, output }),
        };
        let show = move |line: &str| {
            if let Some(complaint) = complaint(line, shown) {
                // The terminal may be closed.
                let _ = writeln!(io::stderr(), "{service}: {complaint}");
            }
        };
        output.lines().for_each(show);
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

    /// Waits until the process ends by itself, and returns its exit status.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills the process by SIGKILL, and waits for its end.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Sends SIGTERM and waits for the end. Returns `true` when the exit code is 0.
    pub async fn stop(self) -> bool {
        self.stop_or_abort(std::future::pending()).await
    }

    /// [`Process::stop`], with a second SIGTERM once `hurry` ends: the service then cuts off running calls.
    pub async fn stop_or_abort(mut self, hurry: impl Future<Output = ()>) -> bool {
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
            // The process may have ended already.
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

async fn listening(lines: &mut Lines<BufReader<ChildStderr>>, output: &mut String) -> Option<Listening> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(listening) = serde_json::from_str(&line) {
            return Some(listening);
        }
        output.push_str(&line);
        output.push('\n');
    }
    None
}

/// A readable form of a log line, if it is to be shown. A line that is no log line, such as one of a panic, is always
/// shown.
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
    let message = line.remove("message");
    let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
    let fields = line.iter().filter(|(name, value)| *name != "timestamp" && *name != "target" && !is_nested(value));
    let fields = fields.map(|(name, value)| format!("{name}={value}"));
    Some([level, message.to_owned()].into_iter().chain(fields).collect::<Vec<_>>().join(" "))
}

/// Whether a value is a span, which only repeats fields of the line.
fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The path of a program of this workspace, beside the running program or above its folder.
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
