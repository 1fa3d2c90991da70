//! The environment of the server: folders with special names, users without a name, and variables for other servers.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use teppan_shared::embedded::{Durability, EmbeddedError, SharedServer, ThrowawayServer};

use crate::other_process::{OtherProcess, SHARED};
use crate::{connect, is_up, temporary_home};

/// Characters that a shell would split at, execute, or expand.
const ODD: &str = r#"it's $HOME's "$(touch ran)" `touch ran` \ ${x:?}; & #"#;

/// A user id without a name, as on OpenShift.
const NAMELESS: u32 = 1_000_660_000;

#[tokio::test]
async fn the_home_folder_may_have_any_name() {
    let (outer, home) = odd_home();
    for _ in 0..2 {
        let server = SharedServer::start(&home).await.unwrap();
        connect(server.url("postgres").expose_secret()).await;
        server.stop().await.unwrap();
    }
    let server = ThrowawayServer::start(&home, Durability::Durable).await.unwrap();
    connect(server.url("postgres").expose_secret()).await;
    server.close().await;
    let left: Vec<_> = fs::read_dir(outer.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, [ODD], "no command in the name was executed");
}

#[tokio::test]
async fn the_programs_may_be_in_a_folder_with_any_name() {
    let home = temporary_home();
    let server = SharedServer::start(home.path()).await.unwrap();
    let pid = fs::read_to_string(home.path().join("postgres/data/postmaster.pid")).unwrap();
    let running = pid.lines().next().unwrap().to_owned();
    let bin = programs_of(&running);
    server.stop().await.unwrap();

    let odd = tempfile::tempdir().unwrap();
    fs::set_permissions(odd.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let bin = copied(&bin, &odd.path().join(ODD));
    let home = temporary_home();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("POSTGRES_BIN_DIR", bin);
    let process = OtherProcess::start_with(command, SHARED, home.path());
    let address = process.address();
    assert!(is_up(address));
    process.leave();
    assert!(!is_up(address));
}

#[tokio::test]
async fn a_user_without_a_name_can_run_a_server() {
    let (outer, home) = odd_home();
    if fs::metadata(outer.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can act as a user without a name");
        return;
    }
    // Other users may not have access to the folder of the test program.
    let program = outer.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    chown(&home, Some(NAMELESS), Some(0)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NAMELESS}"), "--regid=0", "--clear-groups", "--"]).arg(&program).current_dir("/");
    let process = OtherProcess::start_with(command, SHARED, &home);
    let address = process.address();
    assert!(is_up(address));
    process.leave();
    assert!(!is_up(address));
    assert_eq!(fs::metadata(home.join("postgres/data")).unwrap().uid(), NAMELESS);

    // Root can use it, and does not change its owner.
    let server = SharedServer::start(&home).await.unwrap();
    connect(server.url("postgres").expose_secret()).await;
    server.stop().await.unwrap();
    assert_eq!(fs::metadata(home.join("postgres/data")).unwrap().uid(), NAMELESS);
}

#[tokio::test]
async fn a_home_of_another_user_is_refused_with_the_remedies() {
    let (outer, home) = odd_home();
    if fs::metadata(outer.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can act as two users");
        return;
    }
    let server = SharedServer::start(&home).await.unwrap();
    server.stop().await.unwrap();
    let program = outer.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    // With and without read access for other users.
    for mode in [0o755, 0o700] {
        fs::set_permissions(&home, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NAMELESS}"), "--regid=0", "--clear-groups", "--"]).arg(&program);
        command.args(["--exact", "a_process_that_uses_a_server", "--ignored", "--nocapture"]);
        command.env("EMBEDDED_TEST_KIND", SHARED).env("EMBEDDED_TEST_HOME", &home).current_dir("/");
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains("OtherOwner"), "{mode:o}: {stderr}");
    }
    let (owner, me) = (0, NAMELESS);
    let refused = EmbeddedError::OtherOwner { path: home.clone(), home: home.clone(), owner, me }.to_string();
    for remedy in [r"sudo chown -R 1000660000 '", "TEPPAN_HOME", "DATABASE_URL"] {
        assert!(refused.contains(remedy), "{refused}");
    }
}

#[test]
fn variables_for_another_postgresql_do_not_reach_the_private_server() {
    let home = temporary_home();
    for _ in 0..2 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.envs([
            ("PGOPTIONS", "-c default_transaction_read_only=on -c no_such_setting=on"),
            ("PGDATA", "/nowhere"),
            ("PGHOST", "nowhere.invalid"),
            ("PGHOSTADDR", "192.0.2.1"),
            ("PGPORT", "1"),
            ("PGUSER", "somebody"),
            ("PGPASSWORD", "something"),
            ("PGDATABASE", "else"),
            ("PGSERVICE", "another"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/nowhere/root.crt"),
            ("PGTZ", "Nowhere"),
            ("PGCLIENTENCODING", "LATIN1"),
        ]);
        let process = OtherProcess::start_with(command, SHARED, home.path());
        let address = process.address();
        assert!(is_up(address));
        process.leave();
        assert!(!is_up(address), "it is stopped in order");
    }
}

/// A home with special characters in its name and with the project's programs, in a temporary folder.
fn odd_home() -> (TempDir, PathBuf) {
    let outer = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).expect("it can be opened");
    let home = outer.path().join(ODD);
    fs::create_dir(&home).expect("a folder in it");
    if let Ok(tools) = fs::read_link(temporary_home().path().join("tools")) {
        symlink(tools, home.join("tools")).expect("a link in it");
    }
    (outer, home)
}

/// The folder of the program of a running server.
fn programs_of(pid: &str) -> PathBuf {
    let line = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => line,
        Err(_) => Command::new("ps").args(["-o", "args=", "-p", pid]).output().expect("there is ps").stdout,
    };
    let line = String::from_utf8(line).expect("a path of text");
    let program = line.split(['\0', ' ']).next().unwrap_or_default();
    Path::new(program).parent().expect("a folder").to_owned()
}

/// Copies the programs into a folder below `to`, and links the files that they look for at relative paths.
fn copied(bin: &Path, to: &Path) -> PathBuf {
    let inner: Vec<_> = bin.ancestors().take(4).collect();
    let mut copy = to.to_owned();
    fs::create_dir(&copy).expect("a folder");
    for folder in inner.iter().rev() {
        let around = folder.parent().expect("programs are four folders down");
        for entry in fs::read_dir(around).expect("it can be read").flatten() {
            if entry.path() != **folder {
                symlink(entry.path(), copy.join(entry.file_name())).expect("a link");
            }
        }
        copy.push(folder.file_name().expect("it has a name"));
        fs::create_dir(&copy).expect("a folder");
    }
    for program in ["initdb", "pg_ctl", "postgres"] {
        fs::copy(bin.join(program), copy.join(program)).expect("a copy");
    }
    copy
}
