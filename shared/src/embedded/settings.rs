//! The server's settings and its port.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use super::error::EmbeddedError;
use super::login::ADDRESS;

/// The name of the settings file in the data folder; `postgresql.conf` includes it.
pub(super) const FILE: &str = "teppan.conf";

/// Whether a commit that was acknowledged survives a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Commits wait for the disk. For kept data and for benchmarks.
    Durable,
    /// Commits do not wait for the disk. For tests and builds.
    Volatile,
}

impl Durability {
    /// The authentication method. SCRAM hashes the password thousands of times; in an unoptimised client that takes
    /// longer than everything else that a test does on its connection.
    pub(super) fn auth(self) -> &'static str {
        match self {
            Self::Durable => "scram-sha-256",
            Self::Volatile => "md5",
        }
    }
}

/// The text of the settings file. It is rewritten at each start.
///
/// The server logs errors without the statement and the row, because both may contain personal data.
pub(super) fn text(port: u16, durability: Durability) -> String {
    let (flush, wal) = match durability {
        Durability::Durable => ("on", "1GB"),
        Durability::Volatile => ("off", "256MB"),
    };
    format!(
        "# Rewritten at each start; use ALTER SYSTEM to change a setting permanently.\n\
         listen_addresses = '{ADDRESS}'\n\
         port = {port}\n\
         unix_socket_directories = ''\n\
         max_connections = 200\n\
         shared_buffers = '64MB'\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         log_error_verbosity = terse\n\
         log_min_error_statement = panic\n\
         fsync = {flush}\n\
         synchronous_commit = {flush}\n\
         full_page_writes = {flush}\n\
         max_wal_size = '{wal}'\n"
    )
}

/// A port for the next start: the last one if it is free, otherwise any free port.
///
/// If a server keeps its port, processes that were connected when it crashed can reconnect after another process has
/// restarted it.
pub(super) fn choose_port(data: &Path) -> Result<u16, EmbeddedError> {
    match last_port(data) {
        Some(port) if TcpListener::bind((ADDRESS, port)).is_ok() => Ok(port),
        _ => free_port(),
    }
}

/// A port that is free at this moment.
pub(super) fn free_port() -> Result<u16, EmbeddedError> {
    TcpListener::bind((ADDRESS, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(EmbeddedError::io("find a free port at", Path::new(ADDRESS)))
}

fn last_port(data: &Path) -> Option<u16> {
    let text = fs::read_to_string(data.join(FILE)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("port = "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_start_takes_the_port_of_the_last_one_unless_it_is_taken() {
        let data = tempfile::tempdir().unwrap();
        let other_program = TcpListener::bind((ADDRESS, 0)).unwrap();
        let port = other_program.local_addr().unwrap().port();
        fs::write(data.path().join(FILE), text(port, Durability::Durable)).unwrap();

        assert_ne!(choose_port(data.path()).unwrap(), port);
        drop(other_program);
        assert_eq!(choose_port(data.path()).unwrap(), port);
    }
}
