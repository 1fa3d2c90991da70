//! The findings and the repairs of `booking-service verify-events`.

mod checkpoint_file;
mod covering;
mod findings;
pub mod many;
mod published;
mod repair;
mod rewritten;
mod rotation;
mod sound;

use std::{process::Stdio, time::Duration};

use booking_service::settings::Settings;
use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::{Value, json};
use teppan_shared::{clock::Clock, keys::Keys};
use teppan_tests::{
    harness::{self, Booking, eventually},
    launch,
};
use tokio::process::Command;

use crate::{
    changes::{Change, VenueFixture, act},
    environment,
};

/// The exit code and the output of the command.
pub struct Report {
    code: Option<i32>,
    findings: Vec<Value>,
    summary: String,
}

impl Report {
    /// The distinct reasons of the findings, in order.
    fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<_> = self.findings.iter().filter_map(|finding| finding["reason"].as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// The fields in the finding with this reason.
    fn fields(&self, reason: &str) -> Vec<&str> {
        let of = self.findings.iter().find(|finding| finding["reason"] == reason).expect("such a finding");
        of["fields"].as_array().expect("fields").iter().filter_map(Value::as_str).collect()
    }

    /// The reason and the version of each finding about this booking.
    fn named(&self, booking_id: &str) -> Vec<(&str, i64)> {
        let of_booking = self.findings.iter().filter(|finding| finding["booking_id"] == booking_id);
        of_booking.map(|it| (it["reason"].as_str().expect("a reason"), it["version"].as_i64().unwrap_or(0))).collect()
    }

    /// The only finding, if it has this reason.
    fn only(&self, reason: &str) -> &Value {
        assert_eq!((self.code, self.findings.len()), (Some(1), 1), "{:?} {}", self.findings, self.summary);
        assert_eq!(self.findings[0]["reason"], reason);
        &self.findings[0]
    }

    pub fn assert_sound(&self) {
        assert_eq!((self.code, &self.findings[..]), (Some(0), &[][..]), "{}", self.summary);
    }
}

/// Runs the command over a database.
pub async fn verify(url: &SecretString, arguments: &[&str]) -> Report {
    let (code, out, summary) = run(url, &[&["--json"], arguments].concat()).await;
    let findings = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    Report { code, findings, summary }
}

/// Verifies everything that a test has made, payments and waitlist included. Tests make holds run out by changing rows,
/// so findings about exactly that are ignored.
pub async fn assert_derivable(url: &SecretString) {
    let report = verify(url, &[]).await;
    let hold = |finding: &&Value| {
        finding["fields"] != json!(["hold_expired_at"]) && finding["fields"] != json!(["hold_expires_at"])
    };
    let others: Vec<_> = report.findings.iter().filter(hold).collect();
    assert!(others.is_empty(), "{others:?}\n{}", report.summary);
    assert!(matches!(report.code, Some(0 | 1)), "{}", report.summary);
}

async fn run(url: &SecretString, arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with(url, arguments, []).await
}

/// Runs the command with these arguments and settings. Returns the exit code, stdout and stderr.
pub async fn run_with(
    url: &SecretString,
    arguments: &[&str],
    settings: impl IntoIterator<Item = (String, String)>,
) -> (Option<i32>, String, String) {
    let output = Command::new(launch::binary("booking-service"))
        .arg("verify-events")
        .args(arguments)
        .envs(environment::with_keys(url))
        .envs(settings)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary is built: cargo build --workspace --bins");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A venue of a service that covers new events with checkpoints after 20 ms.
async fn checkpointed_venue() -> VenueFixture {
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    VenueFixture::over(checkpointing(&url, &keys).await, 2_000, 0).await
}

/// A service over this database that covers new events with checkpoints after 20 ms.
async fn checkpointing(url: &SecretString, keys: &Keys) -> Booking {
    let change = |settings: &mut Settings| settings.checkpoint_interval = Duration::from_millis(20);
    Booking::changed(change, harness::settings(url.clone(), keys), url.clone(), keys.clone()).await.ready().await
}

/// Waits until a checkpoint covers the newest event.
async fn until_covered(url: &SecretString) {
    let covered = "
        SELECT NOT EXISTS (SELECT FROM booking_events
                           WHERE (stream_position, version, event_id)
                               > (checkpoint_position, checkpoint_version, checkpoint_event_id))
        FROM event_stream";
    eventually("every event is covered", async || harness::scalar::<bool>(url, covered).await).await;
}

/// A service of the fixture whose clock is ahead by this much.
async fn later(fixture: &VenueFixture, ahead: TimeDelta, hold_expiry_interval: Duration) -> Booking {
    let common = harness::settings(fixture.service.url.clone(), &fixture.service.keys);
    let mut settings = harness::booking_settings(common);
    settings.clock = Clock::ahead(ahead);
    settings.hold_expiry_interval = hold_expiry_interval;
    Booking::configured(settings, fixture.service.url.clone(), fixture.service.keys.clone()).await.ready().await
}

/// Bookings in every state, all made through the API.
async fn bookings_in_every_state() -> VenueFixture {
    let fixture = VenueFixture::with_deposit(200).await;
    let clients = fixture.service.clients.clone();
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(fixture.book(1 + n % 5).await.booking_id);
    }
    for (index, id) in ids.iter().enumerate() {
        let changes: &[Change] = match index {
            0 | 1 => &[Change::Confirm],
            2 => &[Change::Confirm, Change::Move("19:00"), Change::Cancel],
            3 => &[Change::Cancel],
            4 => &[Change::Move("18:30"), Change::Resize(7), Change::Confirm],
            5 => &[Change::Resize(1)],
            _ => &[],
        };
        for change in changes {
            act(&clients, *change, id, "").await.expect("changed");
        }
    }
    // Two weeks later two confirmed bookings have taken place.
    let after = later(&fixture, TimeDelta::days(16), Duration::from_hours(1)).await;
    act(&after.clients, Change::Complete, &ids[0], "").await.expect("completed");
    act(&after.clients, Change::NoShow, &ids[1], "").await.expect("marked");
    after.service.stop().await;
    let soon = later(&fixture, TimeDelta::hours(3), Duration::from_millis(10)).await;
    let waiting = "SELECT count(*) FROM bookings WHERE status = 'PENDING'";
    eventually("holds run out", async || fixture.service.scalar::<i64>(waiting).await == 0).await;
    soon.service.stop().await;
    fixture.book(3).await;
    let states: i64 = fixture.service.scalar("SELECT count(DISTINCT status) FROM bookings").await;
    assert_eq!(states, 6, "there are bookings in all six states");
    fixture
}
