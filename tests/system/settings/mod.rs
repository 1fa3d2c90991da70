mod database;
mod empty;
mod identity;
mod misspelt;
mod open_telemetry;
mod tls;

use std::{net::TcpListener, process::Command};

use teppan_tests::launch;

fn run(environment: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    run_of("booking-service", environment, arguments)
}

fn run_of(service: &str, environment: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(launch::binary(service))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the binary is built: cargo build --workspace --bins");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn all_bad_settings_are_reported_together_by_name_and_never_by_value() {
    let (code, _, stderr) = run(
        &[
            ("DATABASE_URL", "mysql://hunter2"),
            ("LISTEN_ADDR", "0.0.0.0:50051"),
            ("HTTP_ADDR", "hunter2"),
            ("REQUEST_TIMEOUT_MS", "hunter2"),
            ("ENCRYPTION_KEYS", "1:hunter2"),
            ("CREDENTIALS_FILE", "/nowhere/hunter2"),
            ("DEFAULT_PHONE_REGION", "hunter2"),
            ("CONVERSATION_SERVICE_URL", "ftp://hunter2"),
            ("NATS_URL", "nats://hunter2@127.0.0.1:hunter2"),
            ("NATS_STREAM", "hunter2."),
            ("FOLLOW_UP_SCHEDULING", "hunter2"),
            ("OUTBOX_RELAYS", "65"),
            ("OUTBOX_ATTEMPTS_MAX", "0"),
            ("IDEMPOTENCY_KEEP_HOURS", "71"),
            ("WAITLIST_KEEP_DAYS", "-1"),
            ("CUSTOMER_KEEP_DAYS", "hunter2"),
            ("STRIPE_WEBHOOK_SECRETS", "hunter2,hunter2,hunter2"),
            ("STRIPE_EVENTS_KEEP_DAYS", "3"),
            ("STRIPE_LIVEMODE", "hunter2"),
            ("STRIPE_ACCOUNT", "hunter2"),
            ("LOG_LEVEL", "hunter2"),
        ],
        &[],
    );
    assert_eq!(code, Some(2));
    for name in [
        "DATABASE_URL",
        "LISTEN_ADDR",
        "HTTP_ADDR",
        "REQUEST_TIMEOUT_MS",
        "ENCRYPTION_KEYS",
        "CREDENTIALS_FILE",
        "DEFAULT_PHONE_REGION",
        "CONVERSATION_SERVICE_URL",
        "NATS_URL",
        "NATS_STREAM",
        "FOLLOW_UP_SCHEDULING",
        "OUTBOX_RELAYS",
        "OUTBOX_ATTEMPTS_MAX",
        "IDEMPOTENCY_KEEP_HOURS",
        "WAITLIST_KEEP_DAYS",
        "CUSTOMER_KEEP_DAYS",
        "STRIPE_WEBHOOK_SECRETS",
        "STRIPE_EVENTS_KEEP_DAYS",
        "STRIPE_LIVEMODE",
        "STRIPE_ACCOUNT",
        "LOG_LEVEL",
    ] {
        assert!(stderr.contains(name), "{name} is missing from: {stderr}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_database_url_requires_encryption_keys() {
    let (code, _, stderr) = run(&[("DATABASE_URL", "postgres://somebody@127.0.0.1/somewhere")], &["migrate"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("ENCRYPTION_KEYS: is required"), "{stderr}");
}

#[test]
fn help_lists_every_setting_with_its_default() {
    let (code, help, _) = run(&[("DATABASE_URL", "postgres://hunter2@127.0.0.1/x")], &["--help"]);
    assert_eq!(code, Some(0));
    for expected in ["DATABASE_URL_FILE", "127.0.0.1:50051", "REQUEST_TIMEOUT_MS", "10000", "migrate"] {
        assert!(help.contains(expected), "{expected} is missing from the help");
    }
    assert!(!help.contains("hunter2"), "the help shows no values of the environment");
}

#[test]
fn the_help_of_a_command_lists_its_own_options_first() {
    let first = |arguments: &[&str], own: &str| {
        let (_, help, _) = run(&[], arguments);
        let position = |option: &str| help.find(option).unwrap_or_else(|| panic!("{option} is missing from: {help}"));
        assert!(position(&format!("\n      {own}")) < position("--listen-addr"), "{arguments:?}: {help}");
    };
    first(&["verify-events", "--help"], "--booking");
    first(&["dead-letters", "list", "--help"], "--limit");
    first(&["dead-letters", "retry", "--help"], "--all");
}

#[test]
fn a_command_that_reads_data_starts_no_private_database() {
    for arguments in [&["verify-events"][..], &["dead-letters", "list"]] {
        let home = tempfile::tempdir().expect("a folder");
        let inside = home.path().join("inside");
        let (code, _, stderr) = run(&[("TEPPAN_HOME", inside.to_str().expect("UTF-8"))], arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("DATABASE_URL: is required"), "{stderr}");
        assert!(!inside.exists(), "nothing is created");
    }
}

#[test]
fn an_address_in_use_is_reported_with_its_setting() {
    let ring = format!("1:{}=", "A".repeat(43)); // base64 of 32 bytes
    let ring = ring.as_str();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = listener.local_addr().expect("the listener is bound").to_string();
    for service in ["booking-service", "conversation-service"] {
        for (setting, other) in [("LISTEN_ADDR", "HTTP_ADDR"), ("HTTP_ADDR", "LISTEN_ADDR")] {
            let environment = [
                ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
                ("ENCRYPTION_KEYS", ring),
                (setting, taken.as_str()),
                (other, "127.0.0.1:0"),
            ];
            let (code, _, stderr) = run_of(service, &environment, &[]);
            assert_eq!(code, Some(1), "{stderr}");
            for expected in [setting, &taken, "end the program that listens there", "another address"] {
                assert!(stderr.contains(expected), "{expected} is missing from: {stderr}");
            }
            assert!(!stderr.contains(other), "{stderr}");
        }
    }
}
