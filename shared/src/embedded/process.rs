//! Telling a live server from what a dead one left behind.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The lines of a server's `postmaster.pid` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    /// 0 as long as the server has not come so far as to write it down.
    pub(super) port: u16,
    /// Whether the server takes connections.
    pub(super) ready: bool,
    /// Whether it has been told to stop. By SIGTERM it waits until every client has gone.
    pub(super) stopping: bool,
}

impl PidFile {
    /// `None` when there is none: the server was stopped in order, or never started.
    pub(super) fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        let status = lines.nth(3).map(str::trim);
        Some(Self {
            pid,
            port: port.unwrap_or(0),
            ready: status == Some("ready"),
            stopping: status == Some("stopping"),
        })
    }
}

/// Who has the process id that a `postmaster.pid` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody: the server ended without tidying up.
    Gone,
    /// Not this folder's server: that one ended, and the system gave its id away again, which is
    /// common after a restart of the machine; or it ended and nobody has collected it yet, which
    /// is common in containers.
    Stranger,
    /// This folder's server, alive.
    Server,
}

/// Looks at the process, through `/proc` where there is one, else by asking `ps`.
pub(super) fn holder(pid: u32, data: &Path) -> Holder {
    let Some(command_line) = command_line(pid) else {
        return Holder::Gone;
    };
    // A server's working folder is its data folder. In a container without the right to trace,
    // root cannot read that of another user's process; the command line it always can, and that
    // names the data folder.
    let is_on_data = match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(folder) => folder == data,
        Err(_) => command_line.contains(&*data.to_string_lossy()),
    };
    if is_on_data && command_line.contains("postgres") { Holder::Server } else { Holder::Stranger }
}

/// Empty for a process that ended and was not collected; `None` where there is no such process.
fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    let pid = pid.to_string();
    let output = Command::new("ps").args(["-o", "args=", "-p", &pid]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_without_a_port_yet_is_read() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("postmaster.pid"), "4711\n/data\n17\n").unwrap();
        let expected = PidFile { pid: 4711, port: 0, ready: false, stopping: false };
        assert_eq!(PidFile::read(data.path()), Some(expected));
    }

    #[test]
    fn a_server_says_in_its_pid_file_when_it_takes_connections_and_when_it_is_stopping() {
        let data = tempfile::tempdir().unwrap();
        for (status, ready) in [("starting", false), ("ready   ", true), ("stopping", false)] {
            let text = format!("4711\n/data\n17\n5432\n\n127.0.0.1\n 1 2\n{status}\n");
            fs::write(data.path().join("postmaster.pid"), text).unwrap();
            let expected = PidFile { pid: 4711, port: 5432, ready, stopping: status == "stopping" };
            assert_eq!(PidFile::read(data.path()), Some(expected), "{status}");
        }
    }

    #[test]
    fn a_process_that_is_no_postgres_is_a_stranger() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(holder(std::process::id(), data.path()), Holder::Stranger);
    }

    #[test]
    fn an_id_beyond_every_process_is_gone() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(holder(u32::MAX, data.path()), Holder::Gone);
    }
}
