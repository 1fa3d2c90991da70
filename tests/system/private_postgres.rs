//! The private PostgreSQL is restarted when it dies, and stops with its services whatever signal ends them.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use teppan_tests::{
    clients::{self, BookingClients},
    fixtures, harness,
    launch::{Process, Which, binary},
    tool,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::{
    environment,
    processes::{booked_as_soon_as_ready, home_of_its_own, is_running, server_of},
};

/// Bound for a process that ends without waiting, also on a busy machine.
const AT_ONCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_private_postgresql_that_is_killed_is_restarted_and_both_services_recover() {
    recovers_after("KILL").await;
}

/// After SIGTERM the server waits until its clients, the services, disconnect.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_postgresql_that_gets_sigterm_is_restarted_and_both_services_recover() {
    recovers_after("TERM").await;
}

async fn recovers_after(signal: &str) {
    let home = home_of_its_own();
    let environment = of_home(home.path());
    let start = async |which| Process::start(which, &environment).await.unwrap_or_else(|error| panic!("{error}"));
    let (booking, conversation) = tokio::join!(start(Which::Booking), start(Which::Conversation));
    let (mut bookings, mut chats) = (BookingClients::new(booking.grpc), clients::conversations(conversation.grpc));
    let venue = booked_as_soon_as_ready(&mut bookings, 1000).await;

    let killed = server_of(home.path()).expect("one server runs");
    send(signal, killed).await;
    harness::eventually("the server is restarted", async || server_of(home.path()).is_some_and(|pid| pid != killed))
        .await;
    let request = fixtures::booking(&venue, 2);
    harness::eventually("a booking", async || bookings.bookings.create_booking(request.clone()).await.is_ok()).await;
    let message = fixtures::message(&request.conversation_id, "Are you there?");
    harness::eventually("a message", async || chats.store_message(message.clone()).await.is_ok()).await;
    for process in [&booking, &conversation] {
        tool::wait_until_serving("the service", process.grpc).await.expect("the service is serving");
    }

    let server = server_of(home.path()).expect("one server runs");
    assert_eq!(tokio::join!(booking.stop(), conversation.stop()), (true, true));
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "nothing is left running");
}

/// A folder with PostgreSQL's programs. Its `postgres` waits while the file `hold` exists, and creates the file `held`
/// meanwhile.
fn programs_that_can_be_held(folder: &Path, real: &Path) {
    for entry in fs::read_dir(real).expect("PostgreSQL's programs").flatten() {
        if entry.file_name() != "postgres" {
            std::os::unix::fs::symlink(entry.path(), folder.join(entry.file_name())).expect("a link");
        }
    }
    let (own, real) = (folder.display(), real.display());
    let script = format!(
        "#!/bin/sh\nwhile [ -e {own}/hold ]; do touch {own}/held; sleep 0.05; done\nexec {real}/postgres \"$@\"\n"
    );
    let postgres = folder.join("postgres");
    fs::write(&postgres, script).expect("written");
    fs::set_permissions(&postgres, fs::Permissions::from_mode(0o755)).expect("it can be run");
    // The account of the server writes to this folder.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("it can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stopped_while_its_postgresql_restarts_leaves_no_server_running() {
    let home = home_of_its_own();
    let mut environment = of_home(home.path());
    // A first start shows where PostgreSQL's programs are.
    let booking = Process::start(Which::Booking, &environment).await.unwrap_or_else(|error| panic!("{error}"));
    let server = server_of(home.path()).expect("its server runs");
    let real = fs::read_link(format!("/proc/{server}/exe")).expect("the process runs");
    assert!(booking.stop().await);
    let programs = tempfile::Builder::new().prefix("teppan-programs-").tempdir().expect("a folder");
    programs_that_can_be_held(programs.path(), real.parent().expect("a folder"));
    environment.insert("POSTGRES_BIN_DIR".to_owned(), programs.path().display().to_string());
    environment.insert("SHUTDOWN_PAUSE_MS".to_owned(), "0".to_owned());

    let mut booking = Process::start(Which::Booking, &environment).await.unwrap_or_else(|error| panic!("{error}"));
    let killed = server_of(home.path()).expect("its server runs");
    fs::write(programs.path().join("hold"), "").expect("written");
    send("KILL", killed).await;
    harness::eventually("the server is starting again", async || programs.path().join("held").exists()).await;
    // The second signal cuts off everything else that may take time.
    let id = booking.id().expect("the process runs");
    send("TERM", id).await;
    harness::eventually("the service drains", async || tokio::net::TcpStream::connect(booking.grpc).await.is_err())
        .await;
    send("TERM", id).await;
    assert!(
        timeout(Duration::from_secs(4), booking.ended()).await.is_err(),
        "the service waits until the server has started"
    );
    fs::remove_file(programs.path().join("hold")).expect("the file exists");
    let status = timeout(AT_ONCE, booking.ended()).await.expect("the process ends").expect("a status");
    assert!(status.success(), "{status}");
    assert_eq!(server_of(home.path()), None, "nothing is left running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_stops_a_service_and_its_postgresql() {
    let home = home_of_its_own();
    let mut booking = Process::start(Which::Booking, &of_home(home.path())).await.expect("the process starts");
    let server = server_of(home.path()).expect("its server runs");
    send("HUP", booking.id().expect("the process runs")).await;
    let status = timeout(AT_ONCE, booking.ended()).await.expect("the process ends").expect("a status");
    assert!(status.success(), "{status}");
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "nothing is left running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_stops_what_make_run_has_started() {
    let home = home_of_its_own();
    let anywhere = ["BOOKING_LISTEN_ADDR", "BOOKING_HTTP_ADDR", "CONVERSATION_LISTEN_ADDR", "CONVERSATION_HTTP_ADDR"];
    let mut run = Command::new(binary("run"));
    run.envs(of_home(home.path())).envs(anywhere.map(|name| (name, "127.0.0.1:0")));
    run.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut run = run.spawn().expect("the binary is built: cargo build --workspace --bins");
    let mut shown = BufReader::new(run.stdout.take().expect("it is piped")).lines();
    while !shown.next_line().await.expect("the output is readable").expect("more").contains("Paste these") {}
    let server = server_of(home.path()).expect("their server runs");

    // The terminal is closed: every write fails from now on.
    drop((shown, run.stderr.take()));
    send("HUP", run.id().expect("the process runs")).await;
    let status = timeout(AT_ONCE, run.wait()).await.expect("the process ends").expect("a status");
    assert!(status.success(), "{status}");
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "nothing is left running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_pause_and_postgresql_shuts_down_cleanly() {
    let home = home_of_its_own();
    let mut environment = of_home(home.path());
    environment.insert("SHUTDOWN_PAUSE_MS".to_owned(), "300000".to_owned());
    let mut booking = Process::start(Which::Booking, &environment).await.expect("the process starts");
    let venue = booked_as_soon_as_ready(&mut BookingClients::new(booking.grpc), 4).await;
    assert!(!venue.is_empty());
    let server = server_of(home.path()).expect("its server runs");

    send("TERM", booking.id().expect("the process runs")).await;
    harness::eventually("the service drains", async || {
        let health = HealthClient::new(clients::channel(booking.grpc)).check(HealthCheckRequest::default()).await;
        health.is_ok_and(|health| health.into_inner().status() == ServingStatus::NotServing)
    })
    .await;
    assert!(timeout(Duration::from_millis(200), booking.ended()).await.is_err(), "the shutdown pause lasts");
    send("INT", booking.id().expect("the process runs")).await;
    let status = timeout(AT_ONCE, booking.ended()).await.expect("the process ends").expect("a status");
    assert!(status.success(), "{status}");
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "nothing is left running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts_off_the_calls_that_the_first_one_waits_for() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    let mut environment: HashMap<_, _> = environment::with_keys(&url).collect();
    for (name, value) in [("SHUTDOWN_PAUSE_MS", "0"), ("SHUTDOWN_DRAIN_MS", "600000"), ("REQUEST_TIMEOUT_MS", "300000")]
    {
        environment.insert(name.to_owned(), value.to_owned());
    }
    let mut booking = Process::start(Which::Booking, &environment).await.expect("the process starts");
    let mut clients = BookingClients::new(booking.grpc);
    let venue = booked_as_soon_as_ready(&mut clients, 4).await;
    proxy.stall();
    let call = clients.bookings.create_booking(fixtures::booking(&venue, 2));
    let stop = async {
        harness::eventually("a statement", async || proxy.held_back() > fixtures::STATEMENT_BYTES).await;
        send("TERM", booking.id().expect("the process runs")).await;
        harness::eventually("the service drains", async || tokio::net::TcpStream::connect(booking.grpc).await.is_err())
            .await;
        send("TERM", booking.id().expect("the process runs")).await;
        timeout(AT_ONCE, booking.ended()).await.expect("the process ends").expect("a status")
    };
    let (answer, status) = tokio::join!(call, stop);
    assert!(status.success(), "{status}");
    let cut = answer.expect_err("cut off");
    assert_eq!(cut.code(), Code::Unavailable);
    assert_eq!(cut.get_details_error_info().expect("an ErrorInfo").reason, "DRAINING");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_for_another_postgresql_do_not_reach_the_private_one() {
    let home = home_of_its_own();
    let mut environment = of_home(home.path());
    for (name, value) in [
        ("PGOPTIONS", "-c default_transaction_read_only=on -c no_such_setting=on"),
        ("PGHOST", "nowhere.invalid"),
        ("PGSSLMODE", "verify-full"),
        ("PGDATA", "/nowhere"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    let booking = Process::start(Which::Booking, &environment).await.unwrap_or_else(|error| panic!("{error}"));
    booked_as_soon_as_ready(&mut BookingClients::new(booking.grpc), 4).await;
    assert!(booking.stop().await, "the exit code is 0");
}

fn of_home(home: &Path) -> HashMap<String, String> {
    [("TEPPAN_HOME", home.display().to_string()), ("OUTBOX_RELAYS", "0".to_owned())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

async fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", signal, &process.to_string()]).status().await;
    assert!(sent.expect("kill runs").success());
}
