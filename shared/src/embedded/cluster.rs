//! One data folder and the server on it: made, started, found running, stopped.
//!
//! Laid out in a folder that belongs to the account: `data`, `password`, `server.log`. Wherever
//! `hold` is asked for, see [`run`].

use std::fs;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::SecretString;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::account::Account;
use super::error::EmbeddedError;
use super::initdb::Initdb;
use super::login::{Login, ROLE};
use super::password;
use super::process::{Holder, PidFile, holder};
use super::programs::Programs;
use super::run::{last_lines, run};
use super::settings::{self, Durability};

/// A port found free may be taken by the time the server asks for it, and what a killed server
/// left running may need a moment to notice and end. Neither lasts.
const START_ATTEMPTS: u32 = 5;
const START_PAUSE: Duration = Duration::from_millis(200);

/// What a start may take: after a crash the server first works its log off.
const START_WAIT: Duration = Duration::from_mins(2);
const READY_POLL: Duration = Duration::from_millis(10);

/// What a server that is starting, stopping or recovering is given before it counts as stuck.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// How a server is told to stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// Clients are cut off, then everything is written out.
    Fast,
    /// As if the server had crashed; the next start recovers.
    Immediate,
}

impl Stop {
    fn mode(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// A data folder, the programs of its version, and as whom they run.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) programs: Programs,
    pub(super) account: Account,
    /// Absolute.
    pub(super) folder: PathBuf,
    pub(super) durability: Durability,
}

impl Cluster {
    /// The data folder, by its real path: that is what a running server calls it too, also where
    /// somebody moved it to another disk and left a link.
    pub(super) fn data(&self) -> PathBuf {
        let data = self.folder.join("data");
        data.canonicalize().unwrap_or(data)
    }

    /// Makes the data folder unless there is one, and returns the password.
    ///
    /// `initdb` takes a second and may be interrupted, so it works on a folder of another name
    /// that is renamed when all is done: a folder called `data` is always complete.
    pub(super) async fn create(&self, hold: BorrowedFd<'_>) -> Result<SecretString, EmbeddedError> {
        let data = self.folder.join("data");
        if data.exists() {
            return password::read(&self.password_path());
        }
        let password = password::make(&self.password_path(), &self.account)?;
        let partial = self.folder.join("data.partial");
        tracing::info!(folder = %data.display(), postgres = self.programs.major, "creating the database");
        // Upper and lower case of all the world's letters, where the system can.
        let initdb = Initdb::prepare(&self.programs, &self.account, &self.folder).await?;
        if self.init(&initdb, &partial, "C.UTF-8", hold).await.is_err() {
            self.init(&initdb, &partial, "C", hold).await?;
        }
        fs::rename(&partial, &data).map_err(EmbeddedError::io("rename", &partial))?;
        if self.durability == Durability::Durable {
            sync_folder(&self.folder)?;
        }
        Ok(password)
    }

    async fn init(
        &self,
        prepared: &Initdb,
        folder: &Path,
        locale: &str,
        hold: BorrowedFd<'_>,
    ) -> Result<(), EmbeddedError> {
        if folder.exists() {
            tokio::fs::remove_dir_all(folder).await.map_err(EmbeddedError::io("remove", folder))?;
        }
        let mut initdb = prepared.command(&self.account);
        initdb
            .arg("--pgdata")
            .arg(folder)
            .arg("--pwfile")
            .arg(self.password_path())
            .args(["--username", ROLE, "--auth", self.durability.auth()])
            .args(["--encoding", "UTF8", "--locale", locale])
            .args(["--lc-messages", "C"]);
        if self.durability == Durability::Volatile {
            initdb.arg("--no-sync");
        }
        run(initdb, "initdb", hold).await?;

        let settings = folder.join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&settings)
            .and_then(|mut file| file.write_all(b"\ninclude 'teppan.conf'\n"))
            .map_err(EmbeddedError::io("write", &settings))
    }

    /// Starts the server and returns its port: the one asked for, else the one it had last when
    /// that is free, else any.
    pub(super) async fn start(&self, fixed: Option<u16>) -> Result<u16, EmbeddedError> {
        let mut port = fixed.map_or_else(|| settings::choose_port(&self.data()), Ok)?;
        for _ in 1..START_ATTEMPTS {
            match self.start_on(port).await {
                Err(EmbeddedError::DidNotStart { .. }) if self.pid().is_none() => {
                    tokio::time::sleep(START_PAUSE).await;
                    port = fixed.map_or_else(settings::free_port, Ok)?;
                }
                done => return done.map(|()| port),
            }
        }
        self.start_on(port).await.map(|()| port)
    }

    /// One attempt, which ends when the server takes connections.
    ///
    /// `pg_ctl` is not used for it: it starts the server through a shell, which expands what is
    /// special to it in the path of the data.
    async fn start_on(&self, port: u16) -> Result<(), EmbeddedError> {
        let data = self.data();
        self.account.give_tree(&data)?;
        let settings = data.join(settings::FILE);
        fs::write(&settings, settings::text(port, self.durability)).map_err(EmbeddedError::io("write", &settings))?;
        self.account.give(&settings)?;
        // The log of this start alone, so that an error can quote it.
        let _ = fs::rename(self.log(), self.folder.join("server.log.old"));

        let log = self.log();
        let opened = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let output = opened.map_err(EmbeddedError::io("create", &log))?;
        self.account.give(&log)?;
        let errors = output.try_clone().map_err(EmbeddedError::io("open", &log))?;
        let program = self.programs.path("postgres");
        let mut postgres = self.account.command(&program);
        postgres.arg("-D").arg(&data).stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut server = postgres.spawn().map_err(EmbeddedError::io("run", &program))?;
        self.wait_until_ready(&mut server).await
    }

    /// Waits until a server that was just started takes connections. The server goes on after this process ends.
    async fn wait_until_ready(&self, server: &mut Child) -> Result<(), EmbeddedError> {
        let data = self.data();
        let deadline = Instant::now() + START_WAIT;
        while !PidFile::read(&data).is_some_and(|file| file.ready && Some(file.pid) == server.id()) {
            let ended = server.try_wait().map_err(EmbeddedError::io("wait for the server on", &data))?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read(self.log()).unwrap_or_default();
                let tail = last_lines(&String::from_utf8_lossy(&log)).to_owned();
                return Err(EmbeddedError::DidNotStart { log: self.log(), tail });
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Stops the server if one runs; returns when it has ended.
    pub(super) async fn stop(&self, how: Stop, hold: BorrowedFd<'_>) -> Result<(), EmbeddedError> {
        // `pg_ctl` signals whatever process has the id in the pid file. After a crash that may
        // be anybody's.
        if self.pid().is_none() {
            return Ok(());
        }
        run(self.stop_command(how), "pg_ctl", hold).await
    }

    pub(super) fn stop_command(&self, how: Stop) -> Command {
        let mut pg_ctl = self.account.command(&self.programs.path("pg_ctl"));
        pg_ctl.args(["stop", "--wait", "--timeout=60", "--mode", how.mode()]).arg("--pgdata").arg(self.data());
        pg_ctl
    }

    /// The process id of the server on this folder, if it is alive.
    pub(super) fn pid(&self) -> Option<u32> {
        let data = self.data();
        let file = PidFile::read(&data)?;
        (holder(file.pid, &data) == Holder::Server).then_some(file.pid)
    }

    /// Whether the server on this folder is alive, has been told to stop, and waits for its clients to go.
    pub(super) fn is_stopping(&self) -> bool {
        PidFile::read(&self.data()).is_some_and(|file| file.stopping) && self.pid().is_some()
    }

    /// The server on this folder, if there is a live one; waits while it starts or stops.
    ///
    /// After this says `None`, the folder is ready for a start.
    pub(super) async fn find_running(&self, password: &SecretString) -> Result<Option<Login>, EmbeddedError> {
        let data = self.data();
        let deadline = Instant::now() + ANSWER_WAIT;
        while let Some(file) = PidFile::read(&data) {
            let login = Login { port: file.port, password: password.clone() };
            if login.is_for(&data).await {
                return Ok(Some(login));
            }
            match holder(file.pid, &data) {
                // PostgreSQL itself sees that nobody has that id and starts over the file.
                Holder::Gone => break,
                Holder::Stranger => {
                    // PostgreSQL would see somebody with that id and refuse to start. Its second
                    // lock, the shared memory, still protects against orphans of a crash.
                    tracing::info!(pid = file.pid, "removing a left-over pid file");
                    let path = data.join("postmaster.pid");
                    fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path))?;
                    break;
                }
                Holder::Server if Instant::now() < deadline => {
                    tokio::time::sleep(POLL_EVERY).await;
                }
                Holder::Server => {
                    return Err(EmbeddedError::NotAnswering { pid: file.pid, data, waited_s: ANSWER_WAIT.as_secs() });
                }
            }
        }
        Ok(None)
    }

    /// Held alone while the server of the folder is started or stopped.
    pub(super) fn start_lock(&self) -> PathBuf {
        start_lock(&self.folder)
    }

    fn password_path(&self) -> PathBuf {
        self.folder.join("password")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

/// See [`Cluster::start_lock`].
pub(super) fn start_lock(folder: &Path) -> PathBuf {
    folder.join("start.lock")
}

fn sync_folder(folder: &Path) -> Result<(), EmbeddedError> {
    fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(EmbeddedError::io("write out", folder))
}
