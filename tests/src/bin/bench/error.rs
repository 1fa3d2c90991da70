//! Why a benchmark could not be run.

use std::{path::PathBuf, time::Duration};

use teppan_shared::embedded::EmbeddedError;
use teppan_tests::launch::LaunchError;
use tonic::Status;
use tonic_types::StatusExt as _;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database's URL cannot be taken apart")]
    DatabaseUrl,
    #[error("{0} did not become ready")]
    NotReady(&'static str),
    #[error("a call failed: {:?}: {}", .0.code(), .0.message())]
    Call(#[from] Status),
    #[error("a call was answered as the replay of another one")]
    Replayed,
    #[error("the load generator failed: {0}")]
    Client(#[from] tokio::task::JoinError),
    #[error(
        "pgbench was not found in {looked_at}. It belongs to PostgreSQL's server programs: install them (Debian: \
         apt-get install postgresql), or set POSTGRES_BIN_DIR to the folder it lies in"
    )]
    NoPgbench { looked_at: String },
    #[error("pgbench failed:\n{0}")]
    Pgbench(String),
    #[error("pgbench's log has a line that cannot be read: {0}")]
    PgbenchLog(String),
    #[error("{what}: {calls} calls succeeded, but {written} were written")]
    Unequal { what: String, calls: u64, written: i64 },
    #[error("a call should have answered {expected}, but answered {found}")]
    Incomplete { expected: usize, found: usize },
    #[error("rotate-keys did not seal everything anew: {0}")]
    Rotation(String),
    #[error("no case is called like {0}")]
    NoCase(String),
    #[error("a plot cannot be drawn: {0}")]
    Plot(String),
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

impl BenchError {
    /// Whether a reply has as many as it should.
    pub fn unless_all(expected: usize, found: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Incomplete { expected, found }) }
    }

    /// When the same call may succeed, if the service refused it only for now.
    pub fn retry_delay(&self) -> Option<Duration> {
        let Self::Call(status) = self else { return None };
        status.get_details_retry_info()?.retry_delay
    }

    pub fn plot(error: impl std::fmt::Display) -> Self {
        Self::Plot(error.to_string())
    }

    /// For `map_err` on what was done with this file or folder.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
