//! What `booking-service verify-events` finds, and what it repairs.

mod findings;
mod many;
mod repair;
mod sound;

use std::{process::Stdio, time::Duration};

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::{Value, json};
use teppan_shared::clock::Clock;
use teppan_tests::{
    harness::{self, Booking, eventually},
    launch,
};
use tokio::process::Command;

use crate::{
    changes::{Change, House, act},
    environment,
};

/// What the command said.
struct Said {
    code: Option<i32>,
    findings: Vec<Value>,
    summary: String,
}

impl Said {
    /// The reasons of the findings, in order, each once.
    fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<_> = self.findings.iter().filter_map(|finding| finding["reason"].as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// The fields of the finding with this reason.
    fn fields(&self, reason: &str) -> Vec<&str> {
        let of = self.findings.iter().find(|finding| finding["reason"] == reason).expect("such a finding");
        of["fields"].as_array().expect("fields").iter().filter_map(Value::as_str).collect()
    }

    fn assert_sound(&self) {
        assert_eq!((self.code, &self.findings[..]), (Some(0), &[][..]), "{}", self.summary);
    }
}

/// Runs the command over a database of the harness.
async fn verify(url: &SecretString, arguments: &[&str]) -> Said {
    let (code, out, summary) = run(url, &[&["--json"], arguments].concat()).await;
    let findings = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    Said { code, findings, summary }
}

/// The audit of what a test has made, money and waitlist included. It would find that tests let holds run out
/// by changing their rows, and only that is passed over.
pub async fn assert_derivable(url: &SecretString) {
    let said = verify(url, &[]).await;
    let hold = |finding: &&Value| {
        finding["fields"] != json!(["hold_expired_at"]) && finding["fields"] != json!(["hold_expires_at"])
    };
    let others: Vec<_> = said.findings.iter().filter(hold).collect();
    assert!(others.is_empty(), "{others:?}\n{}", said.summary);
    assert!(matches!(said.code, Some(0 | 1)), "{}", said.summary);
}

async fn run(url: &SecretString, arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with(url, arguments, []).await
}

/// Runs the command with these arguments and settings: its exit code, and what it wrote to both outputs.
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

/// A service of the house for which so much time has passed.
async fn later(house: &House, ahead: TimeDelta, hold_expiry_interval: Duration) -> Booking {
    let common = harness::settings(house.service.url.clone(), &house.service.keys);
    let mut settings = harness::booking_settings(common);
    settings.clock = Clock::ahead(ahead);
    settings.hold_expiry_interval = hold_expiry_interval;
    Booking::configured(settings, house.service.url.clone(), house.service.keys.clone()).await.ready().await
}

/// Bookings in every state, all through the API.
async fn full_house() -> House {
    let house = House::open(200).await;
    let clients = house.service.clients.clone();
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(house.book(1 + n % 5).await.booking_id);
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
    // A fortnight later two of those that are firm have taken place, or should have.
    let after = later(&house, TimeDelta::days(16), Duration::from_hours(1)).await;
    act(&after.clients, Change::Complete, &ids[0], "").await.expect("completed");
    act(&after.clients, Change::NoShow, &ids[1], "").await.expect("marked");
    after.service.stop().await;
    let soon = later(&house, TimeDelta::hours(3), Duration::from_millis(10)).await;
    let waiting = "SELECT count(*) FROM bookings WHERE status = 'PENDING'";
    eventually("holds run out", async || house.service.scalar::<i64>(waiting).await == 0).await;
    soon.service.stop().await;
    house.book(3).await;
    let states: i64 = house.service.scalar("SELECT count(DISTINCT status) FROM bookings").await;
    assert_eq!(states, 6, "every state");
    house
}
