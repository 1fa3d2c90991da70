//! Creates, starts, finds and stops the server of one data folder.
//!
//! The folder of the cluster belongs to the account and contains `data`, `password` and `server.log`. For the parameter
//! `inherited`, see [`run`].

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
use super::process::{PidFile, PidOwner, pid_owner};
use super::programs::Programs;
use super::run::{last_lines, run};
use super::settings::{self, Durability};

/// A free port may be taken before the server opens it, and child processes of a killed server may need a moment to
/// end. Both are temporary, so a start is repeated.
const START_ATTEMPTS: u32 = 5;
const START_PAUSE: Duration = Duration::from_millis(200);

/// How long a start may take. After a crash the server first replays its WAL.
const START_WAIT: Duration = Duration::from_mins(2);
const READY_POLL: Duration = Duration::from_millis(10);

/// How long a server may take to start, stop or recover before it counts as stuck.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// How a server stops.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// Clients are disconnected, then everything is written to disk.
    Fast,
    /// Like a crash; the next start recovers.
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

/// A data folder, the programs of its version, and the account that they run as.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) programs: Programs,
    pub(super) account: Account,
    /// Absolute.
    pub(super) folder: PathBuf,
    pub(super) durability: Durability,
}

impl Cluster {
    /// The real path of the data folder. A running server reports the same path, even if the folder is a link to
    /// another disk.
    pub(super) fn data(&self) -> PathBuf {
        let data = self.folder.join("data");
        data.canonicalize().unwrap_or(data)
    }

    /// Creates the data folder if it does not exist, and returns the password.
    ///
    /// `initdb` takes a second and may be interrupted. So it works in a folder of another name, which is renamed at the
    /// end: a folder named `data` is always complete.
    pub(super) async fn create(&self, inherited: BorrowedFd<'_>) -> Result<SecretString, EmbeddedError> {
        let data = self.folder.join("data");
        if data.exists() {
            return password::read(&self.password_path());
        }
        let password = password::make(&self.password_path(), &self.account)?;
        let partial = self.folder.join("data.partial");
        tracing::info!(folder = %data.display(), postgres = self.programs.major, "creating the database");
        // A locale that knows upper and lower case of all alphabets, if the system has it.
        let initdb = Initdb::prepare(&self.programs, &self.account, &self.folder).await?;
        if self.init(&initdb, &partial, "C.UTF-8", inherited).await.is_err() {
            self.init(&initdb, &partial, "C", inherited).await?;
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
        inherited: BorrowedFd<'_>,
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
        run(initdb, "initdb", inherited).await?;

        let settings = folder.join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&settings)
            .and_then(|mut file| file.write_all(b"\ninclude 'teppan.conf'\n"))
            .map_err(EmbeddedError::io("write", &settings))
    }

    /// Starts the server and returns its port: the given one; otherwise the last one if it is free; otherwise any free
    /// port.
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

    /// One attempt; it returns when the server accepts connections.
    ///
    /// It does not use `pg_ctl`, because that starts the server through a shell, which expands special characters in
    /// the path of the data folder.
    async fn start_on(&self, port: u16) -> Result<(), EmbeddedError> {
        let data = self.data();
        self.account.make_owner_of_tree(&data)?;
        let settings = data.join(settings::FILE);
        fs::write(&settings, settings::text(port, self.durability)).map_err(EmbeddedError::io("write", &settings))?;
        self.account.make_owner_of(&settings)?;
        // A new log for each start, so that an error can quote it.
        let _ = fs::rename(self.log(), self.folder.join("server.log.old"));

        let log = self.log();
        let opened = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let output = opened.map_err(EmbeddedError::io("create", &log))?;
        self.account.make_owner_of(&log)?;
        let errors = output.try_clone().map_err(EmbeddedError::io("open", &log))?;
        let program = self.programs.path("postgres");
        let mut postgres = self.account.command(&program);
        postgres.arg("-D").arg(&data).stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut server = postgres.spawn().map_err(EmbeddedError::io("run", &program))?;
        self.wait_until_ready(&mut server).await
    }

    /// Waits until a started server accepts connections. The server keeps running after this process ends.
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

    /// Stops the server if it is running; returns when it has ended.
    pub(super) async fn stop(&self, how: Stop, inherited: BorrowedFd<'_>) -> Result<(), EmbeddedError> {
        // `pg_ctl` signals the process with the id in the pid file. After a crash that may be an unrelated process.
        if self.pid().is_none() {
            return Ok(());
        }
        run(self.stop_command(how), "pg_ctl", inherited).await
    }

    pub(super) fn stop_command(&self, how: Stop) -> Command {
        let mut pg_ctl = self.account.command(&self.programs.path("pg_ctl"));
        pg_ctl.args(["stop", "--wait", "--timeout=60", "--mode", how.mode()]).arg("--pgdata").arg(self.data());
        pg_ctl
    }

    /// The process id of this folder's server, if it is running.
    pub(super) fn pid(&self) -> Option<u32> {
        let data = self.data();
        let file = PidFile::read(&data)?;
        (pid_owner(file.pid, &data) == PidOwner::Server).then_some(file.pid)
    }

    /// Whether this folder's server has received a stop signal and waits for its clients to disconnect.
    pub(super) fn is_stopping(&self) -> bool {
        PidFile::read(&self.data()).is_some_and(|file| file.stopping) && self.pid().is_some()
    }

    /// The login of this folder's server, if it is running; waits while it starts or stops.
    ///
    /// `None` means that the server can be started.
    pub(super) async fn find_running(&self, password: &SecretString) -> Result<Option<Login>, EmbeddedError> {
        let data = self.data();
        let deadline = Instant::now() + ANSWER_WAIT;
        while let Some(file) = PidFile::read(&data) {
            let login = Login { port: file.port, password: password.clone() };
            if login.is_for(&data).await {
                return Ok(Some(login));
            }
            match pid_owner(file.pid, &data) {
                // PostgreSQL itself detects that no process has this id, and replaces the file.
                PidOwner::None => break,
                PidOwner::OtherProcess => {
                    // PostgreSQL would find a process with this id and refuse to start. Its second lock, the shared
                    // memory, still protects against child processes that a crash left running.
                    tracing::info!(pid = file.pid, "removing a stale pid file");
                    let path = data.join("postmaster.pid");
                    fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path))?;
                    break;
                }
                PidOwner::Server if Instant::now() < deadline => {
                    tokio::time::sleep(POLL_EVERY).await;
                }
                PidOwner::Server => {
                    return Err(EmbeddedError::NotAnswering { pid: file.pid, data, waited_s: ANSWER_WAIT.as_secs() });
                }
            }
        }
        Ok(None)
    }

    /// The lock that a process holds exclusively while it starts or stops the server.
    pub(super) fn start_lock_path(&self) -> PathBuf {
        start_lock_path(&self.folder)
    }

    fn password_path(&self) -> PathBuf {
        self.folder.join("password")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

/// See [`Cluster::start_lock_path`].
pub(super) fn start_lock_path(folder: &Path) -> PathBuf {
    folder.join("start.lock")
}

fn sync_folder(folder: &Path) -> Result<(), EmbeddedError> {
    fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(EmbeddedError::io("sync", folder))
}
