//! The services as processes, with settings in their environment.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use tempfile::TempDir;
use teppan_shared::contract::{
    booking::v1::{FindCustomerRequest, GetBookingRequest},
    conversation::v1::GetConversationRequest,
};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures, harness,
    launch::{Process, Which, binary},
};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::environment;

#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_calls_are_answered_until_the_process_ends_with_exit_code_0() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let environment: HashMap<_, _> = environment::with_keys(&url).collect();
    let process = Process::start(Which::Booking, &environment).await.expect("the process starts");
    let mut clients = BookingClients::new(process.grpc);
    let venue = booked_as_soon_as_ready(&mut clients, 1000).await;

    let signalled = CancellationToken::new();
    let calling = async {
        let (mut booked, mut booked_after) = (1, 0);
        loop {
            match clients.bookings.create_booking(fixtures::booking(&venue, 1)).await {
                Ok(_) => booked += 1,
                Err(status) => {
                    assert!(signalled.is_cancelled(), "{status:?}");
                    assert!(was_not_sent(&status), "{status:?}");
                    return (booked, booked_after);
                }
            }
            booked_after += i32::from(signalled.is_cancelled());
        }
    };
    let stopping = async {
        harness::eventually("some bookings", async || {
            harness::scalar::<i64>(&url, "SELECT count(*) FROM bookings").await > 5
        })
        .await;
        signalled.cancel();
        process.stop().await
    };
    let ((booked, booked_after), ended_well) = tokio::join!(calling, stopping);
    assert!(ended_well, "the exit code is 0");
    assert!(booked_after > 0, "calls are answered during the shutdown pause");
    assert_eq!(harness::scalar::<i64>(&url, "SELECT count(*) FROM bookings").await, booked);
}

/// Whether the client's library reports that the server is gone. When GOAWAY arrives just before a call, the error is
/// one of HTTP/2.
fn was_not_sent(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Cancelled)
        || format!("{status:?}").contains(r#"GoAway(b"", NO_ERROR, Remote)"#)
}

/// The id of a new venue with one booking, made as soon as the service is ready.
pub async fn booked_as_soon_as_ready(clients: &mut BookingClients, seats: i32) -> String {
    let mut venue = None;
    harness::eventually("the service is ready", async || {
        venue = fixtures::venue(clients, seats).await.ok();
        venue.is_some()
    })
    .await;
    let venue = venue.expect("a venue").venue_id;
    clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
    venue
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_setting_both_services_share_a_private_server_and_keep_its_data() {
    let home = home_of_its_own();
    let environment = HashMap::from([("TEPPAN_HOME".to_owned(), home.path().display().to_string())]);
    let start = async |which| Process::start(which, &environment).await.unwrap_or_else(|error| panic!("{error}"));
    let (booking, conversation) = tokio::join!(start(Which::Booking), start(Which::Conversation));
    let server = server_of(home.path()).expect("one server runs");

    let (mut bookings, mut chats) = (BookingClients::new(booking.grpc), clients::conversations(conversation.grpc));
    let venue = booked_as_soon_as_ready(&mut bookings, 4).await;
    let request = fixtures::booking(&venue, 2);
    let made = bookings.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    let made = made.booking.expect("the booking");
    assert!(booking.stop().await, "the first exits with code 0");

    // The other service still has its database.
    assert_eq!(server_of(home.path()), Some(server));
    let message = fixtures::message(&request.conversation_id, "Thank you!");
    harness::eventually("a message is stored", async || chats.store_message(message.clone()).await.is_ok()).await;
    assert!(conversation.stop().await, "the second exits with code 0");
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "the last service stops the server");

    // The encryption keys and the data are kept.
    let (booking, conversation) = tokio::join!(start(Which::Booking), start(Which::Conversation));
    let (mut bookings, mut chats) = (BookingClients::new(booking.grpc), clients::conversations(conversation.grpc));
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    harness::eventually("the booking is read", async || {
        let read = bookings.bookings.get_booking(get.clone()).await;
        read.is_ok_and(|read| read.into_inner().booking.as_ref() == Some(&made))
    })
    .await;
    let email = request.contact.expect("a contact").email;
    let found = bookings
        .customers
        .find_customer(FindCustomerRequest { email, ..Default::default() })
        .await
        .expect("found")
        .into_inner();
    assert_eq!(found.customer.expect("the customer").customer_id, made.customer_id);
    let get = GetConversationRequest { conversation_id: request.conversation_id };
    harness::eventually("the conversation is read", async || chats.get_conversation(get.clone()).await.is_ok()).await;

    let server = server_of(home.path()).expect("one server runs");
    let ended = tokio::join!(booking.stop(), conversation.stop());
    assert_eq!(ended, (true, true));
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "nothing is left running");
}

/// A TEPPAN_HOME that the database server's account can reach, with the installed tools.
pub fn home_of_its_own() -> TempDir {
    let home = tempfile::Builder::new().prefix("teppan-home-").tempdir().expect("a folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("it can be opened");
    let tools = harness::home().join("tools");
    if let Ok(tools) = tools.canonicalize() {
        std::os::unix::fs::symlink(tools, home.path().join("tools")).expect("a link");
    }
    home
}

/// The process id of a home's database server, while one runs.
pub fn server_of(home: &Path) -> Option<u32> {
    let file = fs::read_to_string(home.join("postgres/data/postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

/// A zombie, which its parent has not reaped yet, does not run.
pub fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_database_exits_with_code_0_on_sigterm() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    proxy.refuse().await.expect("the port is kept");
    let environment: HashMap<_, _> = environment::with_keys(&url).collect();
    let process = Process::start(Which::Booking, &environment).await.expect("the process starts");
    let stopped = tokio::time::timeout(Duration::from_secs(10), process.stop()).await;
    assert_eq!(stopped, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_report_a_database_that_was_never_migrated() {
    let server = harness::postgres().await;
    server.ensure_database("never_migrated").await.expect("a database");
    let url = server.url("never_migrated");
    let commands: [(&[&str], i32); 3] =
        [(&["verify-events"], 3), (&["dead-letters", "list"], 1), (&["dead-letters", "retry", "--all"], 1)];
    for (arguments, code) in commands {
        let mut command = Command::new(binary("booking-service"));
        command.args(arguments).envs(environment::with_keys(&url)).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_mins(1), command.output()).await.expect("the process ends");
        let output = output.expect("the binary is built: cargo build --workspace --bins");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
        assert!(printed.contains("`booking-service migrate`") && !printed.contains("reached"), "{printed}");
    }
}
