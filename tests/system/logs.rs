use std::{net::SocketAddr, process::Stdio, sync::Mutex, time::Duration};

use secrecy::SecretString;
use teppan_shared::contract::booking::v1::{Contact, CreateBookingRequest};
use teppan_tests::{clients::BookingClients, fixtures, harness, launch};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};
use tonic::Code;

use crate::environment;

/// What no line of the log may hold: a customer in words that occur nowhere else.
const NAME: &str = "Zebulon Quince";
const EMAIL: &str = "zebulon.quince@example.org";
const PHONE: &str = "+4930987654";
const WISHES: &str = "Halibut only, please.";
const PERSONAL: [&str; 8] = ["Zebulon", "zebulon", "Quince", "quince", "30987654", "30 987654", "Halibut", "halibut"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_logged_at_any_level_that_is_meant_for_operation() {
    for level in ["info", "debug"] {
        let log = log_of_a_day(level).await;
        assert!(log.contains(r#""level":"ERROR""#), "the failing statement is logged: {log}");
        assert!(log.contains("the statement failed with SQLSTATE 23514: "), "with its cause: {log}");
        assert!(log.contains("violates check constraint"), "with its cause: {log}");
        assert_eq!(log.contains(r#""level":"DEBUG""#), level == "debug", "{log}");
        for line in log.lines() {
            for secret in PERSONAL {
                assert!(!line.contains(secret), "{level}: {secret} is in the log: {line}");
            }
        }
    }
}

/// The log of a booking-service of its own in which a booking was made, replayed, refused, invalid,
/// and failed.
async fn log_of_a_day(level: &str) -> String {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    log_of(&url, &[("LOG_LEVEL", level)], async |service| go_through(service.grpc, &url).await).await
}

/// A booking-service that runs, and what it has logged so far.
pub struct Logged<'a> {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub process: u32,
    log: &'a Mutex<String>,
}

impl Logged<'_> {
    /// Waits until it has logged this.
    pub async fn has(&self, text: &str) {
        harness::eventually(text, async || self.log.lock().expect("nobody panicked").contains(text)).await;
    }
}

/// The log, from its start to its end, of a booking-service with these settings with which something is done.
pub async fn log_of(url: &SecretString, settings: &[(&str, &str)], done: impl AsyncFnOnce(&Logged<'_>)) -> String {
    let mut service = Command::new(launch::binary("booking-service"))
        .envs(environment::with_keys(url))
        .env("LOG_FORMAT", "json")
        .envs(settings.iter().copied())
        .env("SHUTDOWN_PAUSE_MS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary is built: cargo build --workspace --bins");
    let mut lines = BufReader::new(service.stderr.take().expect("stderr is piped")).lines();
    let log = Mutex::new(String::new());
    let keep = |line: &str| {
        let mut log = log.lock().expect("nobody panicked");
        log.push_str(line);
        log.push('\n');
    };
    let (grpc, http) = loop {
        let line = lines.next_line().await.expect("a log").expect("it listens before it ends");
        keep(&line);
        if let (Some(grpc), Some(http)) = (address(&line, "grpc"), address(&line, "http")) {
            break (grpc, http);
        }
    };
    let process = service.id().expect("it runs");
    let doing = async {
        done(&Logged { grpc, http, process, log: &log }).await;
        let id = process.to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.expect("kill").success());
    };
    let reading = async {
        while let Ok(Some(line)) = lines.next_line().await {
            keep(&line);
        }
    };
    let done = tokio::time::timeout(Duration::from_mins(3), async { tokio::join!(doing, reading) });
    done.await.expect("the service ends when it is told");
    assert!(service.wait().await.expect("it ends").success());
    log.into_inner().expect("nobody panicked")
}

fn address(line: &str, of: &str) -> Option<SocketAddr> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get(of)?.as_str()?.parse().ok()
}

async fn go_through(grpc: SocketAddr, url: &SecretString) {
    let mut clients = BookingClients::new(grpc);
    let mut venue = None;
    harness::eventually("the service is ready", async || {
        venue = fixtures::venue(&mut clients, 4).await.ok();
        venue.is_some()
    })
    .await;
    let venue = venue.expect("a venue").venue_id;
    let booking = |party_size| CreateBookingRequest {
        contact: Some(Contact { name: NAME.to_owned(), email: EMAIL.to_owned(), phone: PHONE.to_owned() }),
        special_requests: WISHES.to_owned(),
        ..fixtures::booking(&venue, party_size)
    };
    let made = booking(1);
    clients.bookings.create_booking(made.clone()).await.expect("booked");
    clients.bookings.create_booking(made).await.expect("replayed");

    let mut fails = async |request| clients.bookings.create_booking(request).await.expect_err("it fails").code();
    assert_eq!(fails(booking(9)).await, Code::FailedPrecondition);
    let mut invalid = booking(0);
    "zebulon quince at example.org".clone_into(&mut invalid.contact.as_mut().expect("a contact").email);
    invalid.special_requests = WISHES.repeat(50);
    assert_eq!(fails(invalid).await, Code::InvalidArgument);
    harness::execute(
        url,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    assert_eq!(fails(booking(1)).await, Code::Internal);
    // A constraint that fails makes PostgreSQL tell the whole row. One table locked at a time: the service's workers
    // read several in another order.
    for change in [
        "DROP TRIGGER fail ON bookings",
        "ALTER TABLE bookings ADD CONSTRAINT never CHECK (party_size > 50) NOT VALID",
        "ALTER TABLE customers ADD CONSTRAINT never CHECK (name_sealed IS NULL) NOT VALID",
    ] {
        harness::execute(url, change).await;
    }
    assert_eq!(fails(booking(1)).await, Code::Internal);
}
