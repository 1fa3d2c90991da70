use std::process::Command;

use teppan_tests::launch;

fn run(environment: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(launch::binary("conversation-service"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the binary is built: cargo build --workspace --bins");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const NAMES: [&str; 7] = [
    "FOLLOW_UP_CLOCK_INTERVAL_MS",
    "FOLLOW_UP_MISSED_AFTER_HOURS",
    "FOLLOW_UP_BACKOFF_FIRST_MS",
    "FOLLOW_UP_BACKOFF_MAX_MS",
    "FOLLOW_UP_TEMPLATES",
    "REENGAGEMENT_AFTER_DAYS",
    "REENGAGEMENT_INTERVAL_MS",
];

#[test]
fn all_invalid_settings_and_template_faults_are_reported_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hunter2.toml");
    std::fs::write(&path, "[post_event]\nwarm = ['hunter2 {{']\nneutral = []").expect("written");
    let mut environment = NAMES.map(|name| (name, "hunter2"));
    environment[4].1 = path.to_str().expect("UTF-8");
    let (code, _, stderr) = run(&environment, &[]);
    assert_eq!(code, Some(2));
    assert!(NAMES.iter().all(|name| stderr.contains(name)) && !stderr.contains("hunter2"), "{stderr}");
    for entry in ["post_event.warm", "post_event.neutral", "post_event.apologetic", "emotion_based.warm"] {
        assert!(stderr.contains(entry), "{entry} is missing from: {stderr}");
    }
}

#[test]
fn help_lists_the_settings_of_follow_ups() {
    let (code, help, _) = run(&[], &["--help"]);
    assert_eq!(code, Some(0));
    assert!(NAMES.iter().all(|name| help.contains(name)), "{help}");
}
