//! TLS settings, and addresses that require TLS.

use std::path::Path;

use teppan_tests::authority::{Authority, Mounted};

use super::run;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The reported error of a setting.
fn error_of(environment: &[(&str, &str)], setting: &str) -> Option<String> {
    // An unrelated bad setting keeps the service from starting.
    let environment = [environment, &[("LOG_LEVEL", "wrong=wrong=wrong")]].concat();
    let (code, _, stderr) = run(&environment, &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(!stderr.contains("PRIVATE KEY"), "{stderr}");
    let line = stderr.lines().find(|line| line.trim_start().starts_with(&format!("{setting}: ")));
    line.map(ToOwned::to_owned)
}

#[test]
fn unusable_tls_files_are_reported_by_setting() {
    let authority = Authority::new("test authority");
    let good = Mounted::new(&authority.server(), &authority.pem());
    let expired = Mounted::new(&authority.expired(&["localhost"]), "no authority");
    let (certificate, key, ca) = (good.certificate(), good.key(), good.authorities());
    let (certificate, key, ca) = (text(&certificate), text(&key), text(&ca));
    let (expired_certificate, other_key, no_authority) = (expired.certificate(), expired.key(), expired.authorities());
    let reports = |environment: &[(&str, &str)], setting, expected: &str| {
        let stderr = error_of(environment, setting).unwrap_or_default();
        assert!(stderr.contains(expected), "{environment:?}: {stderr}");
    };
    let with = |name, value| [("TLS_CERTIFICATE_FILE", certificate), ("TLS_KEY_FILE", key), (name, value)];
    reports(&[("TLS_CERTIFICATE_FILE", certificate)], "TLS_KEY_FILE", "is required with TLS_CERTIFICATE_FILE");
    reports(&[("TLS_KEY_FILE", key)], "TLS_CERTIFICATE_FILE", "is required with TLS_KEY_FILE");
    reports(&with("TLS_KEY_FILE", text(&other_key)), "TLS_KEY_FILE", "is not the key of the certificate");
    reports(&with("TLS_KEY_FILE", certificate), "TLS_KEY_FILE", "must be a file of an unencrypted private key");
    reports(&with("TLS_KEY_FILE", "/nowhere/key"), "TLS_KEY_FILE", "cannot be read: entity not found");
    reports(&with("TLS_CERTIFICATE_FILE", key), "TLS_CERTIFICATE_FILE", "must be a file of certificates in PEM");
    reports(&with("TLS_CERTIFICATE_FILE", text(&expired_certificate)), "TLS_CERTIFICATE_FILE", "has expired");
    reports(&with("TLS_CLIENT_CA_FILE", text(&no_authority)), "TLS_CLIENT_CA_FILE", "must be a file of cert");
    reports(&[("TLS_CLIENT_CA_FILE", ca)], "TLS_CLIENT_CA_FILE", "is of no use without TLS_CERTIFICATE_FILE");
    reports(&with("TLS_CLIENT_CERTIFICATES", "required"), "TLS_CLIENT_CERTIFICATES", "without TLS_CLIENT_CA_FILE");
    reports(&with("TLS_CLIENT_CERTIFICATES", "perhaps"), "TLS_CLIENT_CERTIFICATES", "must be required or optional");
    for setting in ["TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"] {
        assert_eq!(error_of(&with("TLS_CLIENT_CA_FILE", ca), setting), None);
    }
}

#[test]
fn addresses_beyond_loopback_need_tls() {
    let authority = Authority::new("test authority");
    let good = Mounted::new(&authority.server(), &authority.pem());
    let (certificate, key) = (good.certificate(), good.key());
    let plain = [("LISTEN_ADDR", "0.0.0.0:0"), ("HTTP_ADDR", "0.0.0.0:0"), ("WEBHOOK_ADDR", "0.0.0.0:0")];
    let tls = [("TLS_CERTIFICATE_FILE", text(&certificate)), ("TLS_KEY_FILE", text(&key))];
    for setting in ["LISTEN_ADDR", "HTTP_ADDR", "WEBHOOK_ADDR"] {
        let stderr = error_of(&plain, setting).unwrap_or_default();
        assert!(stderr.contains("TLS_CERTIFICATE_FILE"), "{setting}: {stderr}");
        assert_eq!(error_of(&[&plain[..], &[("ALLOW_INSECURE", "true")]].concat(), setting), None);
    }
    let encrypted = [&plain[..], &tls].concat();
    assert_eq!(error_of(&encrypted, "HTTP_ADDR"), None);
    assert_eq!(error_of(&encrypted, "WEBHOOK_ADDR"), None);
    let stderr = error_of(&encrypted, "LISTEN_ADDR").unwrap_or_default();
    assert!(stderr.contains("callers are not authenticated") && !stderr.contains("not encrypted"), "{stderr}");
}

#[test]
fn conversation_service_on_another_machine_requires_tls() {
    let error_for = |url, allow| {
        let environment = [("CONVERSATION_SERVICE_URL", url), ("ALLOW_INSECURE", allow)];
        error_of(&environment, "CONVERSATION_SERVICE_URL")
    };
    assert!(error_for("http://conversation:50052", "false").is_some_and(|stderr| stderr.contains("use https://")));
    assert_eq!(error_for("http://conversation:50052", "true"), None);
    assert_eq!(error_for("https://conversation:50052", "false"), None);
    assert_eq!(error_for("http://localhost:50052", "false"), None);
    let plain = [("CONVERSATION_SERVICE_CA_FILE", "/nowhere")];
    let stderr = error_of(&plain, "CONVERSATION_SERVICE_CA_FILE").unwrap_or_default();
    assert!(stderr.contains("is of no use without https://"), "{stderr}");
    let missing = [("CONVERSATION_SERVICE_URL", "https://conversation"), ("CONVERSATION_SERVICE_CA_FILE", "/nowhere")];
    let stderr = error_of(&missing, "CONVERSATION_SERVICE_CA_FILE").unwrap_or_default();
    assert!(stderr.contains("cannot be read"), "{stderr}");
}
