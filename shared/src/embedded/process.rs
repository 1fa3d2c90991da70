//! Detects whether a server is running, from its pid file.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The relevant lines of a server's `postmaster.pid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    /// 0 until the server has written it.
    pub(super) port: u16,
    /// Whether the server accepts connections.
    pub(super) ready: bool,
    /// Whether it is stopping. After SIGTERM it waits until every client has disconnected.
    pub(super) stopping: bool,
}

impl PidFile {
    /// `None` when there is no pid file: the server was stopped in order, or never started.
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

/// The process that has the id of a `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PidOwner {
    /// No process: the server ended without removing the file.
    None,
    /// Not this folder's server. Either the server ended and another process has its id, which is common after a
    /// restart of the machine; or the server is a zombie, which is common in containers.
    OtherProcess,
    /// This folder's server, running.
    Server,
}

/// Inspects the process through `/proc`, or with `ps` on systems without it.
pub(super) fn pid_owner(pid: u32, data: &Path) -> PidOwner {
    let Some(command_line) = command_line(pid) else {
        return PidOwner::None;
    };
    // A server's working folder is its data folder. In a container without ptrace rights, root cannot read the working
    // folder of another user's process. It can read the command line, which contains the data folder.
    let is_on_data = match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(folder) => folder == data,
        Err(_) => command_line.contains(&*data.to_string_lossy()),
    };
    if is_on_data && command_line.contains("postgres") { PidOwner::Server } else { PidOwner::OtherProcess }
}

/// The command line of a process: empty for a zombie, `None` if there is no such process.
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
    fn a_pid_file_that_has_no_port_yet_is_read() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("postmaster.pid"), "4711\n/data\n17\n").unwrap();
        let expected = PidFile { pid: 4711, port: 0, ready: false, stopping: false };
        assert_eq!(PidFile::read(data.path()), Some(expected));
    }

    #[test]
    fn the_pid_file_shows_whether_a_server_is_ready_or_stopping() {
        let data = tempfile::tempdir().unwrap();
        for (status, ready) in [("starting", false), ("ready   ", true), ("stopping", false)] {
            let text = format!("4711\n/data\n17\n5432\n\n127.0.0.1\n 1 2\n{status}\n");
            fs::write(data.path().join("postmaster.pid"), text).unwrap();
            let expected = PidFile { pid: 4711, port: 5432, ready, stopping: status == "stopping" };
            assert_eq!(PidFile::read(data.path()), Some(expected), "{status}");
        }
    }

    #[test]
    fn a_process_that_is_not_postgres_is_another_process() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(pid_owner(std::process::id(), data.path()), PidOwner::OtherProcess);
    }

    #[test]
    fn an_id_without_a_process_has_no_owner() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(pid_owner(u32::MAX, data.path()), PidOwner::None);
    }
}
