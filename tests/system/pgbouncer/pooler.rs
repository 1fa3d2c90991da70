//! A PgBouncer for one test, in front of the harness's PostgreSQL.

use std::{fs, net::TcpListener, path::Path};

use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use teppan_shared::embedded::Unprivileged;
use teppan_tests::harness;
use tokio::process::Child;

/// The settings of a pooler.
#[derive(Clone, Copy)]
pub struct Setting {
    pub mode: &'static str,
    pub ignored: &'static str,
}

/// The pool mode `transaction`: all clients share the pooler's connections.
pub const BY_TRANSACTION: Setting = Setting { mode: "transaction", ignored: "extra_float_digits,options" };
/// The pool mode `session`: each client keeps a connection until it disconnects.
pub const BY_SESSION: Setting = Setting { mode: "session", ignored: "extra_float_digits,options" };

/// A pooler, killed on drop.
pub struct PgBouncer {
    /// The database of the test, through the pooler.
    pub url: SecretString,
    _process: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// Returns `None`, and prints a line, when PgBouncer is not installed.
    pub async fn start(database: &SecretString, setting: Setting) -> Option<Self> {
        let program = harness::home().join("tools/bin/pgbouncer");
        if !program.exists() {
            println!("SKIPPED: PgBouncer is not installed; `deploy/local/setup.sh pgbouncer` installs it");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("teppan-pgbouncer-").tempdir().expect("a folder");
        let account = Unprivileged::find(&harness::home(), Path::new("/tmp")).await.expect("a user to run it");
        account.make_owner_of(folder.path()).expect("the folder can be given away");
        // PgBouncer does not support port 0.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let ini = folder.path().join("pgbouncer.ini");
        fs::write(&ini, text(database, setting, port)).expect("written");
        account.make_owner_of(&ini).expect("the file can be given away");
        let program = program.canonicalize().expect("it exists");
        let mut command = account.command(&program);
        command.arg("--quiet").arg(&ini).kill_on_drop(true);
        let process = command.spawn().expect("PgBouncer runs");
        let url = harness::through(database, ([127, 0, 0, 1], port).into());
        harness::eventually("PgBouncer listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(Self { url, _process: process, _folder: folder })
    }
}

fn text(database: &SecretString, Setting { mode, ignored }: Setting, port: u16) -> String {
    let login = database.expose_secret().split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let (user, password) = login.and_then(|(login, _)| login.split_once(':')).expect("user and password");
    let server = harness::database_address(database);
    format!(
        "[databases]\n\
         * = host={} port={} user={user} password={password}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         pool_mode = {mode}\n\
         ignore_startup_parameters = {ignored}\n",
        server.ip(),
        server.port(),
    )
}
