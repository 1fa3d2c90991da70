//! Settings of callers' credentials and of the audit log.

use std::fs;

use super::{run, run_of};

#[test]
fn errors_in_credentials_key_set_and_audit_log_are_reported_together_and_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let (credentials, keys) = (folder.path().join("credentials.toml"), folder.path().join("keys.json"));
    fs::write(&credentials, "[[credentials]]\nname = 'a b'\nroles = ['admin']\ntoken_sha256 = 'hunter2'\n")
        .expect("written");
    fs::write(&keys, r#"{"keys": [{"kty": "oct", "k": "hunter2"}]}"#).expect("written");
    let (code, _, stderr) = run(
        &[
            ("CREDENTIALS_FILE", credentials.to_str().expect("UTF-8")),
            ("OIDC_ISSUER", "https://issuer.example"),
            ("OIDC_KEY_SET", keys.to_str().expect("UTF-8")),
            ("AUDIT_LOG", "hunter2"),
            ("CONVERSATION_SERVICE_TOKEN", "hunter2 hunter2"),
        ],
        &[],
    );
    assert_eq!(code, Some(2), "{stderr}");
    for fault in [
        "CREDENTIALS_FILE: entry 1: name must",
        "each role must be orchestrator",
        "token_sha256 must be",
        "OIDC_AUDIENCE: is required with OIDC_ISSUER",
        "OIDC_KEY_SET: it has no key for",
        "AUDIT_LOG: must be off, stderr",
        "CONVERSATION_SERVICE_TOKEN: must be one token",
    ] {
        assert!(stderr.contains(fault), "{fault} is missing in\n{stderr}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn settings_of_an_issuer_require_the_issuer_and_its_key_set_requires_https() {
    let (_, _, stderr) = run_of("conversation-service", &[("OIDC_AUDIENCE", "teppan")], &[]);
    assert!(stderr.contains("OIDC_AUDIENCE: requires OIDC_ISSUER"), "{stderr}");
    let keys = |url: &str| {
        let issuer = [("OIDC_ISSUER", "https://issuer.example"), ("OIDC_AUDIENCE", "teppan"), ("OIDC_KEY_SET", url)];
        // Another bad setting keeps the service from starting.
        run(&[&issuer[..], &[("LOG_FORMAT", "odd")]].concat(), &[]).2
    };
    assert!(keys("http://issuer.example/keys").contains("OIDC_KEY_SET: must be a URL with https://"));
    assert!(keys("/nowhere/keys.json").contains("OIDC_KEY_SET: cannot be read"));
    for url in ["https://issuer.example/keys", "http://127.0.0.1:8080/keys"] {
        assert!(!keys(url).contains("OIDC_KEY_SET"), "{url}");
    }
}

#[test]
fn listening_beyond_this_machine_needs_credentials_beside_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("credentials.toml");
    fs::write(&file, "[[credentials]]\nname = 'a'\nroles = ['venue']\ncertificates = ['a']\n").expect("written");
    let (_, _, stderr) = run(&[("LISTEN_ADDR", "0.0.0.0:50051")], &[]);
    assert!(
        stderr.contains("callers are not authenticated, which CREDENTIALS_FILE or OIDC_ISSUER changes"),
        "{stderr}"
    );
    let file = file.to_str().expect("UTF-8");
    let (_, _, stderr) = run(&[("LISTEN_ADDR", "0.0.0.0:50051"), ("CREDENTIALS_FILE", file)], &[]);
    assert!(stderr.contains("LISTEN_ADDR: is reachable") && !stderr.contains("not authenticated"), "{stderr}");
}
