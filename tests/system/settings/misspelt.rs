//! Variables with names that look like misspelt settings.

use teppan_tests::harness;

use super::{empty::names, run, run_of};
use crate::logs::log_of;

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_setting_is_logged_as_a_warning_with_the_nearest_name_and_without_the_value() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let settings = [("MAX_INFLIGHT", "hunter2"), ("LOGLEVEL", "hunter2"), ("DATABASE_HOST", "hunter2")];
    let log = log_of(&url, &settings, async |service| service.until_logged("ready").await).await;
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("misspelt")).collect();
    let expected = [("LOGLEVEL", "LOG_LEVEL"), ("MAX_INFLIGHT", "MAX_IN_FLIGHT")];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, (given, meant)) in warnings.into_iter().zip(expected) {
        assert!(warning.contains(&format!(r#""given":"{given}","meant":"{meant}""#)), "{warning}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_report_of_bad_settings_names_misspelt_ones_too() {
    let (code, _, stderr) = run(&[("DATABSE_URL", "hunter2"), ("MAX_IN_FLIGHT", "0")], &[]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("DATABSE_URL is not a setting and is ignored: is DATABASE_URL meant?"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_setting_of_the_other_service_does_not_count_as_misspelt() {
    for (service, other) in [("booking-service", "conversation-service"), ("conversation-service", "booking-service")] {
        let (own, others) = (names(service), names(other));
        let environment: Vec<_> =
            others.iter().filter(|name| !own.contains(name)).map(|name| (name.as_str(), "1")).collect();
        assert!(!environment.is_empty());
        let (code, _, stderr) = run_of(service, &environment, &["--max-in-flight", "0"]);
        assert_eq!(code, Some(2));
        assert!(!stderr.contains("is not a setting"), "{service}: {stderr}");
    }
}
