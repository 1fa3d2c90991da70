//! The benchmark tool works with the current statements and calls.

use std::{
    io,
    pin::pin,
    process::{Output, Stdio},
    time::Duration,
};

use teppan_tests::{harness, launch};
use tokio::{process::Command, time::timeout};

/// Enough for twenty measurements of a second each, for filling two databases and for starting a dozen services.
const TIME_LIMIT: Duration = Duration::from_mins(3);

#[tokio::test]
async fn the_benchmark_measures_every_call() {
    // Other tests use the machine at the same time, so only success is checked, not the times.
    let output = bench(&["--quick", "--warm-up-seconds", "0", "--only", "1 client"]).await.expect("it starts");
    let (stdout, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    for call in [
        "StoreMessage, 1 client",
        "CreateBooking, 1 client",
        "ListAvailability, 1 client",
        "BatchCheckAvailability, 1 client",
        "ListBookings, 1 client",
        "CreateBooking + CancelBooking, 1 client",
    ] {
        assert!(stdout.lines().any(|line| line.starts_with(call)), "{call}\n{stdout}\n{errors}");
    }
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
