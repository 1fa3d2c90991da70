//! The benchmark runs: what it times are the statements and calls as they are now.

use std::{
    io,
    pin::pin,
    process::{Output, Stdio},
    time::Duration,
};

use teppan_tests::{harness, launch};
use tokio::{process::Command, time::timeout};

/// Twenty measurements of a second, between which two databases are filled and a dozen services start.
const TIME_LIMIT: Duration = Duration::from_mins(3);

#[tokio::test]
async fn every_call_of_the_benchmark_can_be_timed_both_ways() {
    // Run beside other tests, it finds out that everything works and nothing about time.
    let output = bench(&["--quick", "--warm-up-seconds", "0", "--only", "1 client"]).await.expect("it starts");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    for call in [
        "StoreMessage, 1 client",
        "CreateBooking, 1 client",
        "ListAvailability, 1 client",
        "BatchCheckAvailability, 1 client",
        "ListBookings, 1 client",
        "CreateBooking + CancelBooking, 1 client",
    ] {
        assert!(said.lines().any(|line| line.starts_with(call)), "{call}\n{said}\n{errors}");
    }
}

/// Runs the tool. Told to stop at the time limit, it stops the services that it started.
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
