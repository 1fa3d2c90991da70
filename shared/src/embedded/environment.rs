//! Removes PostgreSQL's environment variables from a process that uses a private server.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The prefix of these variables: `PGOPTIONS`, `PGHOST`, `PGSSLMODE`, ...
const PREFIX: &[u8] = b"PG";

/// If the environment has variables that PostgreSQL's clients read as settings, replaces this process by the same
/// program without them. A program that uses a private server calls this first in `main`.
///
/// The client library reads some of them for each connection and cannot ignore them. For example,
/// `PGOPTIONS='-c default_transaction_read_only=on'`, set for another server, would apply to this one. A process cannot
/// safely change its own environment.
///
/// # Errors
/// The program could not be executed again.
pub fn exec_without_postgres_variables() -> io::Result<()> {
    let found = postgres_variables();
    if found.is_empty() {
        return Ok(());
    }
    let mut again = Command::new(env::current_exe()?);
    let mut arguments = env::args_os();
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments);
    for name in found {
        again.env_remove(name);
    }
    // Returns only when it fails.
    Err(again.exec())
}

/// The names of the variables that are set.
pub(super) fn postgres_variables() -> Vec<OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| name.as_bytes().starts_with(PREFIX)).collect()
}
