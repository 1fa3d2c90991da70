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

/// Personal data that no line of the log may contain. These words occur nowhere else.
const NAME: &str = "Zebulon Quince";
const EMAIL: &str = "zebulon.quince@example.org";
const PHONE: &str = "+4930987654";
const WISHES: &str = "Halibut only, please.";
const PERSONAL: [&str; 8] = ["Zebulon", "zebulon", "Quince", "quince", "30987654", "30 987654", "Halibut", "halibut"];

#[tokio::test(flavor = "multi_thread")]
async fn no_personal_data_is_logged_at_level_info_or_debug() {
    for level in ["info", "debug"] {
        let log = log_of_typical_calls(level).await;
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

/// The log of a booking-service with a booking that succeeds, a replay, a refusal, an invalid call, and failures.
async fn log_of_typical_calls(level: &str) -> String {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    log_of(&url, &[("LOG_LEVEL", level)], async |service| make_typical_calls(service.grpc, &url).await).await
}

/// A running booking-service and its log so far.
pub struct LoggedService<'a> {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub process: u32,
    log: &'a Mutex<String>,
}

impl LoggedService<'_> {
    /// Waits until the log contains this text.
    pub async fn until_logged(&self, text: &str) {
        harness::eventually(text, async || self.log.lock().expect("not poisoned").contains(text)).await;
    }
}

/// Starts a booking-service with these settings, runs `action`, and stops the service. Returns the whole log.
pub async fn log_of(
    url: &SecretString,
    settings: &[(&str, &str)],
    action: impl AsyncFnOnce(&LoggedService<'_>),
) -> String {
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
        let mut log = log.lock().expect("not poisoned");
        log.push_str(line);
        log.push('\n');
    };
    let (grpc, http) = loop {
        let line = lines.next_line().await.expect("a log").expect("the service listens before it ends");
        keep(&line);
        if let (Some(grpc), Some(http)) = (address(&line, "grpc"), address(&line, "http")) {
            break (grpc, http);
        }
    };
    let process = service.id().expect("it runs");
    let acting = async {
        action(&LoggedService { grpc, http, process, log: &log }).await;
        let id = process.to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.expect("kill").success());
    };
    let reading = async {
        while let Ok(Some(line)) = lines.next_line().await {
            keep(&line);
        }
    };
    let done = tokio::time::timeout(Duration::from_mins(3), async { tokio::join!(acting, reading) });
    done.await.expect("the service ends after SIGTERM");
    assert!(service.wait().await.expect("it ends").success());
    log.into_inner().expect("not poisoned")
}

fn address(line: &str, of: &str) -> Option<SocketAddr> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get(of)?.as_str()?.parse().ok()
}

async fn make_typical_calls(grpc: SocketAddr, url: &SecretString) {
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
        allow_duplicate: true,
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
    // When a constraint fails, PostgreSQL's error contains the whole row. Each statement locks one table only, because
    // the service's workers lock several tables in another order.
    for change in [
        "DROP TRIGGER fail ON bookings",
        "ALTER TABLE bookings ADD CONSTRAINT never CHECK (party_size > 50) NOT VALID",
        "ALTER TABLE customers ADD CONSTRAINT never CHECK (contact_sealed IS NULL) NOT VALID",
    ] {
        harness::execute(url, change).await;
    }
    assert_eq!(fails(booking(1)).await, Code::Internal);
}
