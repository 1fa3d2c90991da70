//! Keeping PostgreSQL's variables in the environment away from a private server.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The names of these variables begin with this: `PGOPTIONS`, `PGHOST`, `PGSSLMODE`, ...
const PREFIX: &[u8] = b"PG";

/// When the environment has variables that PostgreSQL's clients take as settings, replaces this process by the same
/// program without them. A program that uses a private server calls this in `main`, before it starts anything.
///
/// The client library reads some of them for each connection, and offers no way to leave one out:
/// `PGOPTIONS='-c default_transaction_read_only=on'`, meant for another server, would reach this one. A process
/// cannot safely change its own environment.
///
/// # Errors
/// The program could not be run again.
pub fn shed_postgres_variables() -> io::Result<()> {
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

/// The names of those that are set.
pub(super) fn postgres_variables() -> Vec<OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| name.as_bytes().starts_with(PREFIX)).collect()
}
