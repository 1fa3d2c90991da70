use std::path::{Path, PathBuf};

use crate::shell::quoted;

/// An error of the embedded PostgreSQL. Each message states what to do next.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL server programs (version {oldest} or newer) were found; run `make setup`, \
         or install PostgreSQL, or set POSTGRES_BIN_DIR to the folder that has initdb, or set \
         DATABASE_URL to use a server of your own. Looked at: {looked_at}"
    )]
    NoPrograms { oldest: u32, looked_at: String },

    #[error(
        "POSTGRES_BIN_DIR is {}, but that folder has no initdb, pg_ctl and postgres of version \
         {oldest} or newer; correct it or unset it", folder.display()
    )]
    WrongProgramsFolder { folder: PathBuf, oldest: u32 },

    #[error(
        "the data in {} was made by PostgreSQL {needed}, but the programs found are of version \
         {found}; install PostgreSQL {needed}, or move that folder elsewhere to start with an empty \
         database", data.display()
    )]
    OtherVersion { data: PathBuf, needed: u32, found: String },

    #[error(
        "{} belongs to user id {owner}, and this process runs as {me}: another user, root perhaps, \
         made it. Run as that user; or stop what still uses it and change its owner (sudo chown -R \
         {me} {}), or remove it together with its data; or set TEPPAN_HOME to another folder, or \
         DATABASE_URL to a server of your own", path.display(), quoted(home)
    )]
    OtherOwner { path: PathBuf, home: PathBuf, owner: u32, me: u32 },

    #[error(
        "PostgreSQL refuses to run as root, and the program `setpriv` (package util-linux), which \
         would run it as user id {uid}, is missing; install it, or run as an ordinary user, or \
         set DATABASE_URL"
    )]
    NoSetpriv { uid: u32 },

    #[error(
        "PostgreSQL refuses to run as root, and user id {uid}, which should run it, cannot reach \
         {} or {}: {reason}. Run as an ordinary user, or move the project out of folders that only \
         root may enter, or set DATABASE_URL", programs.display(), folder.display()
    )]
    Unreachable { uid: u32, programs: PathBuf, folder: PathBuf, reason: String },

    #[error(
        "{} is missing or unreadable, and without that password the data beside it cannot be opened; \
         restore the file, or remove its folder to start with an empty database",
        path.display()
    )]
    PasswordLost { path: PathBuf, source: std::io::Error },

    #[error("`{program}` failed: {output}")]
    Program { program: String, output: String },

    #[error(
        "PostgreSQL did not start; the end of its log, {}, is: {tail}", log.display()
    )]
    DidNotStart { log: PathBuf, tail: String },

    #[error(
        "a PostgreSQL (process {pid}) holds {} but did not answer within {waited_s} s; see \
         server.log beside that folder, and stop that process if it is stuck", data.display()
    )]
    NotAnswering { pid: u32, data: PathBuf, waited_s: u64 },

    #[error(
        "waited {waited_s} s for another process that holds {}; end the process that is stuck \
         starting or stopping the database and try again", lock.display()
    )]
    LockBusy { lock: PathBuf, waited_s: u64 },

    #[error("{name:?} is not a valid database name: use a to z, 0 to 9 and _, at most 63")]
    DatabaseName { name: String },

    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },

    #[error("a statement to the embedded PostgreSQL failed")]
    Database(#[from] sqlx::Error),
}

impl EmbeddedError {
    /// For `map_err`: an I/O error together with the action and the path.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
