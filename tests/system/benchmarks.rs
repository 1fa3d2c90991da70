//! The benchmark tool works with the current statements and calls.

use std::{
    fs, io,
    pin::pin,
    process::{Output, Stdio},
    time::Duration,
};

use teppan_tests::{harness, launch};
use tokio::{process::Command, time::timeout};

/// Enough for thirty measurements of a second each, for filling four databases and for starting a dozen services.
const TIME_LIMIT: Duration = Duration::from_mins(4);

#[tokio::test]
async fn the_benchmark_measures_every_call() {
    let stdout = measured(&[
        "CreateBooking, 128 clients, many",
        "ListAvailability, 1 client",
        "SuggestSlots, 1 client",
        "BatchCheckAvailability, 1 client",
        "ListBookings, 1 client",
        "CreateBooking + CancelBooking, 1 client",
        "StoreMessage, 1 client, any",
    ])
    .await;
    for side in ["floor", "pgbench", "plain", "Teppan", "to floor", "to plain"] {
        assert!(stdout.lines().any(|line| line.trim_start().starts_with(side)), "{side}\n{stdout}");
    }
}

#[tokio::test]
async fn the_benchmark_writes_a_report_of_open_loops_and_distant_databases() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report");
    let path = report.to_str().expect("UTF-8");
    let patterns = [
        "CreateBooking, open loop, 50 %",
        "The link alone",
        "StoreMessage, 1 client, database",
        "StoreMessage, 1 client, one",
    ];
    measured_with(&["--distances", "1", "--report", path], &patterns).await;
    let readme = fs::read_to_string(report.join("README.md")).expect("a text");
    let json = fs::read(report.join("results.json")).expect("JSON");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    for name in ["cases", "open_loop", "distances"] {
        assert!(json[name].as_array().is_some_and(|cases| !cases.is_empty()), "{name}");
    }
    let date = json["environment"]["date"].as_str().expect("a date");
    assert!(readme.contains(&date[..10]) && readme.contains("PostgreSQL"), "{readme}");
    for title in [
        "CreateBooking, open loop",
        "The link alone, 16 connections",
        "StoreMessage, 1 client, distant database",
        "StoreMessage, one conversation",
    ] {
        let (_, after) = readme.split_once(&format!("![{title}](")).expect(title);
        let (file, _) = after.split_once(')').expect("a link");
        let svg = fs::read_to_string(report.join(file)).expect("a plot");
        assert!(svg.starts_with("<svg") && svg.contains(title), "{title}");
    }
}

/// What the tool prints when it measures the cases of these names.
async fn measured(patterns: &[&str]) -> String {
    measured_with(&[], patterns).await
}

async fn measured_with(arguments: &[&str], patterns: &[&str]) -> String {
    let mut all = vec!["--quick", "--warm-up-seconds", "0"];
    all.extend(arguments);
    all.extend(patterns.iter().flat_map(|pattern| ["--only", pattern]));
    // Other tests use the machine at the same time, so only success is checked, not the times.
    let output = bench(&all).await.expect("it starts");
    let (stdout, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    for name in patterns {
        assert!(stdout.lines().any(|line| line.starts_with(name)), "{name}\n{stdout}\n{errors}");
    }
    stdout.into_owned()
}

/// Runs the tool. At the time limit it receives SIGTERM, so that it stops the services that it started.
async fn bench(arguments: &[&str]) -> io::Result<Output> {
    let mut bench = Command::new(launch::binary("bench"));
    bench.env("TEPPAN_HOME", harness::home()).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = bench.kill_on_drop(true).spawn()?;
    let id = child.id().unwrap_or_default();
    let mut ended = pin!(child.wait_with_output());
    if let Ok(output) = timeout(TIME_LIMIT, &mut ended).await {
        return output;
    }
    Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
    ended.await
}
