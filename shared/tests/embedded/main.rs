//! The embedded PostgreSQL, with real servers and real processes.

mod environment;
mod killed;
mod other_process;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use other_process::{OtherProcess, SHARED, THROWAWAY, address_of};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use teppan_shared::embedded::{Durability, SharedServer, ThrowawayServer, exec_without_postgres_variables};

/// How long an unused server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_last_process_to_leave_stops_the_server() {
    let home = temporary_home();
    let first = OtherProcess::start(SHARED, home.path());
    let second = OtherProcess::start(SHARED, home.path());
    assert_eq!(first.url, second.url, "one server for both");

    first.leave();
    assert!(is_up(second.address()), "the second still uses it");
    let address = second.address();
    second.leave();
    assert!(!is_up(address), "no process uses it");
}

#[tokio::test]
async fn committed_data_survive_a_stop_and_a_start() {
    let home = temporary_home();
    let server = SharedServer::start(home.path()).await.unwrap();
    server.ensure_database("kept").await.unwrap();
    let mut connection = connect(server.url("kept").expose_secret()).await;
    sqlx::raw_sql("CREATE TABLE t (n int); INSERT INTO t VALUES (42)").execute(&mut connection).await.unwrap();
    server.stop().await.unwrap();

    let server = SharedServer::start(home.path()).await.unwrap();
    let mut connection = connect(server.url("kept").expose_secret()).await;
    let kept: i32 = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, 42);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn commits_wait_for_the_disk_unless_the_server_is_volatile() {
    let home = temporary_home();
    let shared = SharedServer::start(home.path()).await.unwrap();
    assert_eq!(flush_settings(shared.url("postgres").expose_secret()).await, ["on"; 3]);
    shared.stop().await.unwrap();

    for (durability, expected) in [(Durability::Durable, "on"), (Durability::Volatile, "off")] {
        let server = ThrowawayServer::start(home.path(), durability).await.unwrap();
        assert_eq!(flush_settings(server.url("postgres").expose_secret()).await, [expected; 3]);
        server.close().await;
    }
}

#[tokio::test]
async fn eight_concurrent_first_starts_create_one_server() {
    let home = temporary_home();
    let processes: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| OtherProcess::start(SHARED, home.path()))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let address = processes[0].address();
    assert!(processes.iter().all(|process| process.url == processes[0].url));

    for process in processes {
        assert!(is_up(address), "another process still uses it");
        process.leave();
    }
    assert!(!is_up(address));
}

#[tokio::test]
async fn a_server_whose_users_were_killed_is_found_and_stopped_by_the_next_user() {
    let home = temporary_home();
    let killed = OtherProcess::start(SHARED, home.path());
    let address = killed.address();
    killed.kill();
    assert!(is_up(address), "no process was left to stop it");

    let next = OtherProcess::start(SHARED, home.path());
    assert_eq!(next.address(), address, "found, not started again");
    next.leave();
    assert!(!is_up(address));
}

#[tokio::test]
async fn a_pid_file_with_the_id_of_another_process_does_not_prevent_a_start() {
    let home = temporary_home();
    let server = SharedServer::start(home.path()).await.unwrap();
    let pid_file = home.path().join("postgres/data/postmaster.pid");
    let left_behind = std::fs::read_to_string(&pid_file).unwrap();
    server.stop().await.unwrap();

    let (_, rest) = left_behind.split_once('\n').unwrap();
    std::fs::write(&pid_file, format!("{}\n{rest}", std::process::id())).unwrap();
    let server = SharedServer::start(home.path()).await.unwrap();
    connect(server.url("postgres").expose_secret()).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_keeps_its_port_when_it_is_started_again() {
    let home = temporary_home();
    let server = SharedServer::start(home.path()).await.unwrap();
    let url = server.url("postgres");
    let pid_file = home.path().join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file).unwrap().lines().next().unwrap().to_owned();
    kill(&pid);

    let other = SharedServer::start(home.path()).await.unwrap();
    assert_eq!(other.url("postgres").expose_secret(), url.expose_secret());
    connect(url.expose_secret()).await;
    server.stop().await.unwrap();
    other.stop().await.unwrap();
    assert!(!is_up(address_of(url.expose_secret())));
}

#[tokio::test]
async fn an_interrupted_first_start_is_repeated_from_the_beginning() {
    let home = temporary_home();
    let partial = home.path().join("postgres/data.partial");
    std::fs::create_dir_all(partial.join("base")).unwrap();
    std::fs::write(home.path().join("postgres/password"), "of the interrupted start").unwrap();

    let server = SharedServer::start(home.path()).await.unwrap();
    connect(server.url("postgres").expose_secret()).await;
    server.stop().await.unwrap();
    assert!(!partial.exists());
}

#[tokio::test]
async fn the_server_requires_a_password_that_only_its_user_can_read() {
    let home = temporary_home();
    let server = SharedServer::start(home.path()).await.unwrap();
    let options = PgConnectOptions::from_str(server.url("postgres").expose_secret()).unwrap();
    let refused = PgConnection::connect_with(&options.password("guessed")).await.unwrap_err();
    let code = refused.as_database_error().unwrap().code().unwrap();
    assert_eq!(code, "28P01", "invalid_password");
    let file = std::fs::metadata(home.path().join("postgres/password")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn concurrent_requests_for_one_database_create_it_once() {
    let server = ThrowawayServer::start(temporary_home().path(), Durability::Volatile).await.unwrap();
    let (a, b, c, d) = tokio::join!(
        server.ensure_database("wanted"),
        server.ensure_database("wanted"),
        server.ensure_database("wanted"),
        server.ensure_database("wanted"),
    );
    for created in [a, b, c, d] {
        created.unwrap();
    }
    connect(server.url("wanted").expose_secret()).await;
    server.close().await;
}

#[tokio::test]
async fn a_throwaway_server_is_removed_when_its_process_is_killed() {
    let home = temporary_home();
    let process = OtherProcess::start(THROWAWAY, home.path());
    let address = process.address();
    let mut connection = connect(&process.url).await;
    let data: String =
        sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut connection).await.unwrap();
    process.kill();

    wait_until("the server is gone", || !is_up(address));
    let folder = PathBuf::from(data).parent().unwrap().to_owned();
    wait_until("its folder is gone", || !folder.exists());
}

#[tokio::test]
async fn a_throwaway_server_can_be_stopped_crashed_or_killed_and_restarted() {
    let home = temporary_home();
    let server = ThrowawayServer::start(home.path(), Durability::Durable).await.unwrap();
    let url = server.url("postgres");
    let mut connection = connect(url.expose_secret()).await;
    sqlx::raw_sql("CREATE TABLE t (n int)").execute(&mut connection).await.unwrap();

    for way in ["stop", "crash", "kill"] {
        match way {
            "stop" => server.stop().await.unwrap(),
            "crash" => server.crash().await.unwrap(),
            _ => kill(&server.pid().unwrap().to_string()),
        }
        let address = address_of(url.expose_secret());
        wait_until("the server has stopped", || server.pid().is_none() && !is_up(address));

        server.restart().await.unwrap();
        let mut connection = connect(url.expose_secret()).await;
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut connection).await.unwrap();
    }
    server.close().await;
    let mut left = std::fs::read_dir(home.path()).unwrap().flatten();
    assert!(left.all(|entry| entry.file_name() == "tools"), "its folder is gone");
}

#[tokio::test]
#[ignore = "not a test: other tests run it as a separate process"]
async fn a_process_that_uses_a_server() {
    let Some(home) = std::env::var_os("EMBEDDED_TEST_HOME").map(PathBuf::from) else {
        return;
    };
    exec_without_postgres_variables().unwrap();
    let wait_for_end_of_input = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    if std::env::var("EMBEDDED_TEST_KIND").unwrap() == SHARED {
        let server = SharedServer::start(&home).await.unwrap();
        server.ensure_database("used").await.unwrap();
        println!("uses {}", server.url("postgres").expose_secret());
        wait_for_end_of_input().unwrap();
        server.stop().await.unwrap();
    } else {
        let server = ThrowawayServer::start(&home, Durability::Volatile).await.unwrap();
        println!("uses {}", server.url("postgres").expose_secret());
        wait_for_end_of_input().unwrap();
        server.close().await;
    }
}

/// A separate home for each test, with the programs that `make setup` installed in the project's home.
fn temporary_home() -> TempDir {
    let home = tempfile::tempdir().expect("a temporary folder");
    let project = std::env::var_os("TEPPAN_HOME")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.teppan"), PathBuf::from);
    if let Ok(tools) = project.join("tools").canonicalize() {
        std::os::unix::fs::symlink(tools, home.path().join("tools")).expect("a link in it");
    }
    home
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the server takes connections")
}

async fn flush_settings(url: &str) -> [String; 3] {
    let (fsync, commit, pages) = sqlx::query_as(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), \
                current_setting('full_page_writes')",
    )
    .fetch_one(&mut connect(url).await)
    .await
    .expect("every server has these settings");
    [fsync, commit, pages]
}

fn is_up(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// Sends SIGKILL, which a process cannot handle.
fn kill(pid: &str) {
    let killed = Command::new("sh").args(["-c", "kill -9 $0", pid]).status().expect("there is a shell");
    assert!(killed.success());
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + STOP_TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within {STOP_TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
