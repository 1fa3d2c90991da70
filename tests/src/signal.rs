//! Signals to processes.

use std::{fs, io, process::Command};

/// The processes that this one has started and that run.
pub fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Sends a signal, such as `STOP`, to processes.
///
/// # Errors
/// `kill` cannot be started.
pub fn signal(name: &str, pids: &[u32]) -> io::Result<()> {
    // Some of the processes may have ended already.
    Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).output().map(|_| ())
}
