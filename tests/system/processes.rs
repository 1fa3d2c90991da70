//! The services as they are shipped: processes with settings in their environment.

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
async fn sigterm_ends_the_process_well_while_a_client_is_calling() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let environment: HashMap<_, _> = environment::with_keys(&url).collect();
    let process = Process::start(Which::Booking, &environment).await.expect("it starts");
    let mut clients = BookingClients::new(process.grpc);
    let venue = booked_as_soon_as_ready(&mut clients, 1000).await;

    let told = CancellationToken::new();
    let calling = async {
        let (mut booked, mut booked_after) = (1, 0);
        loop {
            match clients.bookings.create_booking(fixtures::booking(&venue, 1)).await {
                Ok(_) => booked += 1,
                Err(status) => {
                    assert!(told.is_cancelled(), "{status:?}");
                    assert!(was_not_sent(&status), "{status:?}");
                    return (booked, booked_after);
                }
            }
            booked_after += i32::from(told.is_cancelled());
        }
    };
    let stopping = async {
        harness::eventually("some bookings", async || {
            harness::scalar::<i64>(&url, "SELECT count(*) FROM bookings").await > 5
        })
        .await;
        told.cancel();
        process.stop().await
    };
    let ((booked, booked_after), ended_well) = tokio::join!(calling, stopping);
    assert!(ended_well, "the exit code is 0");
    assert!(booked_after > 0, "calls are answered while load balancers take notice");
    assert_eq!(harness::scalar::<i64>(&url, "SELECT count(*) FROM bookings").await, booked);
}

/// The server is gone, in the words of the client's library. Where its goodbye comes just before a call, they are
/// those of HTTP/2.
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
async fn without_a_database_the_services_share_one_of_their_own_and_find_it_again() {
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
    assert!(booking.stop().await, "the first ends well");

    // The other still has its database.
    assert_eq!(server_of(home.path()), Some(server));
    let message = fixtures::message(&request.conversation_id, "Thank you!");
    harness::eventually("a message is stored", async || chats.store_message(message.clone()).await.is_ok()).await;
    assert!(conversation.stop().await, "the second ends well");
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "the last one stopped the server");

    // Key and data are kept.
    let (booking, conversation) = tokio::join!(start(Which::Booking), start(Which::Conversation));
    let (mut bookings, mut chats) = (BookingClients::new(booking.grpc), clients::conversations(conversation.grpc));
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    harness::eventually("the booking is read", async || {
        let read = bookings.bookings.get_booking(get.clone()).await;
        read.is_ok_and(|read| read.into_inner().booking.as_ref() == Some(&made))
    })
    .await;
    let email = request.contact.expect("a contact").email;
    let found = bookings.customers.find_customer(FindCustomerRequest { email }).await.expect("found").into_inner();
    assert_eq!(found.customer.expect("the customer").customer_id, made.customer_id);
    let get = GetConversationRequest { conversation_id: request.conversation_id };
    harness::eventually("the conversation is read", async || chats.get_conversation(get.clone()).await.is_ok()).await;

    let server = server_of(home.path()).expect("one server runs");
    let ended = tokio::join!(booking.stop(), conversation.stop());
    assert_eq!(ended, (true, true));
    assert_eq!((server_of(home.path()), is_running(server)), (None, false), "nothing is left running");
}

/// A home that the account of the database server can reach, with the programs of set-up.
pub fn home_of_its_own() -> TempDir {
    let home = tempfile::Builder::new().prefix("teppan-home-").tempdir().expect("a folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("it can be opened");
    let tools = harness::home().join("tools");
    if let Ok(tools) = tools.canonicalize() {
        std::os::unix::fs::symlink(tools, home.path().join("tools")).expect("a link");
    }
    home
}

/// The process id of the database server of a home, while there is one.
pub fn server_of(home: &Path) -> Option<u32> {
    let file = fs::read_to_string(home.join("postgres/data/postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

/// A process that ended may keep its entry until its parent looks: a zombie runs no more.
pub fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_database_still_ends_well_when_it_is_told() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    proxy.refuse().await.expect("the port is kept");
    let environment: HashMap<_, _> = environment::with_keys(&url).collect();
    let process = Process::start(Which::Booking, &environment).await.expect("it starts");
    let stopped = tokio::time::timeout(Duration::from_secs(10), process.stop()).await;
    assert_eq!(stopped, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_never_migrated_is_told_as_such() {
    let server = harness::postgres().await;
    server.ensure_database("never_migrated").await.expect("a database");
    let url = server.url("never_migrated");
    let commands: [(&[&str], i32); 3] =
        [(&["verify-events"], 3), (&["dead-letters", "list"], 1), (&["dead-letters", "retry", "--all"], 1)];
    for (arguments, code) in commands {
        let mut command = Command::new(binary("booking-service"));
        command.args(arguments).envs(environment::with_keys(&url)).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_mins(1), command.output()).await.expect("it ends");
        let output = output.expect("the binary is built: cargo build --workspace --bins");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains("`booking-service migrate`") && !said.contains("reached"), "{said}");
    }
}
