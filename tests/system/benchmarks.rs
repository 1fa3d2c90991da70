//! The benchmark runs: what it times are the statements and calls as they are now.

use std::time::Duration;

use teppan_tests::{harness, launch};
use tokio::{process::Command, time::timeout};

/// Each measurement lasts a second.
const TIME_LIMIT: Duration = Duration::from_mins(3);

#[tokio::test]
async fn every_call_of_the_benchmark_can_be_timed_both_ways() {
    let mut bench = Command::new(launch::binary("bench"));
    // Run beside other tests, it finds out that everything works and nothing about time.
    bench.env("TEPPAN_HOME", harness::home());
    bench.args(["--quick", "--warm-up-seconds", "0", "--only", "1 client"]).kill_on_drop(true);
    let output = timeout(TIME_LIMIT, bench.output()).await.expect("in time").expect("it starts");
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
