//! An empty setting is an error.

use std::{collections::BTreeSet, fs};

use super::{run, run_of};

/// The names of a service's settings, as its help lists them.
pub fn names(service: &str) -> Vec<String> {
    let (_, help, _) = run_of(service, &[], &["--help"]);
    let names = help.lines().filter_map(|line| line.trim().strip_prefix("[env: ")?.strip_suffix(']'));
    names.map(ToOwned::to_owned).collect()
}

/// The names at the beginning of the lines in a report of bad settings.
fn reported(stderr: &str) -> Vec<&str> {
    stderr.lines().skip(1).filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name).collect()
}

#[test]
fn every_empty_setting_is_reported_once_and_those_of_opentelemetry_count_as_none() {
    for service in ["booking-service", "conversation-service"] {
        let names = names(service);
        assert!(names.len() > 60, "{names:?}");
        let environment: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        for arguments in [&["serve"][..], &["migrate"]] {
            let (code, _, stderr) = run_of(service, &environment, arguments);
            assert_eq!(code, Some(2), "{stderr}");
            let of_its_own: BTreeSet<_> =
                names.iter().map(String::as_str).filter(|name| !name.starts_with("OTEL_")).collect();
            // An empty key is reported once, and not also as missing.
            assert_eq!(reported(&stderr).len(), of_its_own.len(), "{stderr}");
            assert_eq!(reported(&stderr).into_iter().collect::<BTreeSet<_>>(), of_its_own, "{stderr}");
            assert!(
                stderr.lines().skip(1).all(|line| line.ends_with("is empty: give it a value, or leave it out")),
                "{stderr}"
            );
        }
    }
}

#[test]
fn an_empty_flag_and_an_empty_file_are_reported_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("url");
    fs::write(&file, "\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let (code, _, stderr) = run(&[("DATABASE_URL_FILE", file)], &["migrate", "--listen-addr=", "--nats-url", " "]);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(reported(&stderr), ["LISTEN_ADDR", "NATS_URL", "DATABASE_URL_FILE"], "{stderr}");
}

#[test]
fn an_empty_database_url_is_an_error_and_starts_no_private_database() {
    let home = tempfile::tempdir().expect("a folder");
    let inside = home.path().join("inside");
    let key = format!("{}=", "A".repeat(43)); // base64 of 32 bytes
    let environment = [
        ("DATABASE_URL", ""),
        ("ENCRYPTION_KEYS", &format!("1:{key}")),
        ("TEPPAN_HOME", inside.to_str().expect("UTF-8")),
    ];
    for service in ["booking-service", "conversation-service"] {
        let (code, _, stderr) = run_of(service, &environment, &[]);
        assert_eq!((code, reported(&stderr)), (Some(2), vec!["DATABASE_URL"]), "{stderr}");
        assert!(!inside.exists(), "nothing is created");
    }
}

#[test]
fn a_wrong_number_of_worker_threads_is_a_bad_setting() {
    for wrong in ["", "many", "0", "-1"] {
        let (code, _, stderr) = run(&[("TOKIO_WORKER_THREADS", wrong)], &["migrate"]);
        assert_eq!((code, reported(&stderr)), (Some(2), vec!["TOKIO_WORKER_THREADS"]), "{wrong}: {stderr}");
    }
}
