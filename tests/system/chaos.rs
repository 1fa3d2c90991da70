//! The chaos tool works with the current services, and finds nothing.

use std::{process::Stdio, time::Duration};

use teppan_tests::{harness, launch};
use tokio::{process::Command, time::timeout};

/// Set-up, twelve seconds of faults, and the wait for leases that killed relays have left.
const TIME_LIMIT: Duration = Duration::from_mins(4);
/// Faults from which the services recover at once, also on a busy machine.
const FAULTS: &str = "kill-booking,kill-conversation,lost-answer,nats";

#[tokio::test]
async fn a_short_chaos_keeps_every_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("chaos.json");
    let mut chaos = Command::new(launch::binary("chaos"));
    chaos
        .args([
            "--minutes",
            "0.2",
            "--calm-seconds",
            "1",
            "--clients",
            "6",
            "--seed",
            "1",
            "--faults",
            FAULTS,
            "--json",
        ])
        .arg(&json)
        .env("TEPPAN_HOME", harness::home())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = timeout(TIME_LIMIT, chaos.output()).await.expect("it ends in time").expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).expect("a report")).expect("JSON");
    assert_eq!(report["violations"].as_array().map(Vec::len), Some(0), "{stdout}");
    assert!(report["acknowledged"].as_u64() > Some(100), "{stdout}");
    assert!(report["faults"].as_array().is_some_and(|faults| !faults.is_empty()), "{stdout}");
    let lost = |check: &&serde_json::Value| check["check"].as_str().is_some_and(|name| name.contains("is lost"));
    let looked_at: Vec<_> = report["checks"].as_array().expect("checks").iter().filter(lost).collect();
    assert_eq!(looked_at.len(), 3, "bookings, entries and messages: {stdout}");
    assert!(looked_at.iter().all(|check| check["looked_at"].as_u64() > Some(0)), "{stdout}");
}
