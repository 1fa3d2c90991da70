//! Rolling update: the new version changes the schema while the previous version works, and then both work.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use secrecy::{ExposeSecret as _, SecretString};
use teppan_shared::contract::booking::v1::{Booking, CreateBookingRequest};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
    harness::{self, eventually},
    launch::{Process, Shown, Which, binary},
    tool::wait_until_serving,
    version_before::Programs,
};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

const SEATS: i32 = 100_000;
/// The calls that the previous version answers before and after the change of the schema.
const CALLS: usize = 20;

/// Two databases, and the settings of both versions.
struct Stage {
    booking: SecretString,
    conversation: SecretString,
    key: String,
}

impl Stage {
    async fn create() -> Self {
        let server = harness::postgres().await;
        for name in ["upgrade_booking", "upgrade_conversation"] {
            server.ensure_database(name).await.expect("a database");
        }
        let key = format!("{}=", "A".repeat(43)); // base64 of 32 bytes
        let (booking, conversation) = (server.url("upgrade_booking"), server.url("upgrade_conversation"));
        Self { booking, conversation, key }
    }

    fn variables(&self, which: Which) -> HashMap<String, String> {
        let url = match which {
            Which::Booking => &self.booking,
            Which::Conversation => &self.conversation,
        };
        let variables = [
            ("DATABASE_URL", url.expose_secret().to_owned()),
            ("ENCRYPTION_KEYS", format!("1:{}", self.key)),
            ("HASH_KEY", self.key.clone()),
            ("SHUTDOWN_PAUSE_MS", "0".to_owned()),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn run(&self, which: Which, program: PathBuf, command: &str) {
        let output =
            Command::new(program).arg(command).envs(self.variables(which)).output().await.expect("the process runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} {command}: {}{stderr}",
            which.binary(),
            String::from_utf8_lossy(&output.stdout)
        );
    }

    /// Starts both services of one version. Its booking-service delivers to its own conversation-service.
    async fn start(&self, path: impl Fn(Which) -> PathBuf) -> (Process, Process) {
        let start = async |which: Which, environment: &HashMap<String, String>| {
            let process = Process::start_program(which, path(which), environment, Shown::Errors)
                .await
                .expect("the process starts");
            wait_until_serving(which.binary(), process.grpc).await.expect("it is ready");
            process
        };
        let conversation = start(Which::Conversation, &self.variables(Which::Conversation)).await;
        let mut variables = self.variables(Which::Booking);
        variables.insert("CONVERSATION_SERVICE_URL".to_owned(), format!("http://{}", conversation.grpc));
        (start(Which::Booking, &variables).await, conversation)
    }
}

fn this(which: Which) -> PathBuf {
    binary(which.binary())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-slow"]
async fn the_previous_version_answers_every_call_while_the_new_version_changes_the_schema_and_runs_beside_it() {
    let Some(before) = Programs::of_the_version_before() else { return };
    let stage = Stage::create().await;
    let (old_booking, old_conversation) = stage.start(|which| before.path(which)).await;
    let mut old = BookingClients::new(old_booking.grpc);
    let venue = fixtures::firm_venue(&mut old, SEATS).await.expect("a venue").venue_id;

    let (stop, calls) = (CancellationToken::new(), AtomicUsize::new(0));
    let load = async {
        while !stop.is_cancelled() {
            old.bookings.clone().create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
            let message = fixtures::message("upgrade", "Hello");
            clients::conversations(old_conversation.grpc).store_message(message).await.expect("stored");
            calls.fetch_add(1, Relaxed);
        }
    };
    let upgrade = async {
        let answered = async |more: usize| {
            let enough = calls.load(Relaxed) + more;
            eventually("the previous version answers", async || calls.load(Relaxed) >= enough).await;
        };
        answered(CALLS).await;
        for which in [Which::Booking, Which::Conversation] {
            stage.run(which, this(which), "migrate").await;
        }
        answered(CALLS).await;
        stop.cancel();
    };
    tokio::join!(load, upgrade);

    let (new_booking, new_conversation) = stage.start(this).await;
    let new = BookingClients::new(new_booking.grpc);
    for (first, second) in [(&old, &new), (&new, &old)] {
        replayed(first, second, fixtures::booking(&venue, 2)).await;
    }
    let message = fixtures::message("upgrade", "Hello again");
    for (address, is_known) in [(old_conversation.grpc, false), (new_conversation.grpc, true)] {
        let stored = clients::conversations(address).store_message(message.clone()).await.expect("stored").into_inner();
        assert_eq!(stored.replayed, is_known);
    }
    eventually("both versions together deliver everything", async || {
        harness::scalar::<i64>(&stage.booking, "SELECT count(*) FROM outbox_messages").await == 0
    })
    .await;
    let bookings: i64 = harness::scalar(&stage.booking, "SELECT count(*) FROM bookings").await;
    assert_eq!(harness::scalar::<i64>(&stage.conversation, "SELECT count(*) FROM follow_ups").await, bookings);
    for program in [before.path(Which::Booking), this(Which::Booking)] {
        stage.run(Which::Booking, program, "verify-events").await;
    }
    for process in [old_booking, new_booking, old_conversation, new_conversation] {
        assert!(process.stop().await, "the process exits with code 0");
    }
}

/// A booking made through one version is replayed by the other, which may not know its terms.
async fn replayed(first: &BookingClients, second: &BookingClients, request: CreateBookingRequest) {
    let made = first.bookings.clone().create_booking(request.clone()).await.expect("booked").into_inner();
    let again = second.bookings.clone().create_booking(request).await.expect("replayed").into_inner();
    assert!(again.replayed);
    let without_terms = |booking: Option<Booking>| booking.map(|booking| Booking { terms: None, ..booking });
    assert_eq!(without_terms(again.booking), without_terms(made.booking));
}
