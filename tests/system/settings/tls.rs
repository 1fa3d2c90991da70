//! Settings of TLS, and connections that may leave the machine only by it.

use std::path::Path;

use teppan_tests::authority::{Authority, Mounted};

use super::run;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What is said of a setting.
fn said_of(environment: &[(&str, &str)], setting: &str) -> Option<String> {
    // Of no interest here, and wrong, so that nothing starts.
    let environment = [environment, &[("LOG_LEVEL", "wrong=wrong=wrong")]].concat();
    let (code, _, said) = run(&environment, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("PRIVATE KEY"), "{said}");
    let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{setting}: ")));
    line.map(ToOwned::to_owned)
}

#[test]
fn files_of_tls_that_cannot_be_used_are_named() {
    let authority = Authority::new("test authority");
    let good = Mounted::new(&authority.server(), &authority.pem());
    let expired = Mounted::new(&authority.expired(&["localhost"]), "no authority");
    let (certificate, key, ca) = (good.certificate(), good.key(), good.authorities());
    let (certificate, key, ca) = (text(&certificate), text(&key), text(&ca));
    let (expired_certificate, other_key, no_authority) = (expired.certificate(), expired.key(), expired.authorities());
    let says = |environment: &[(&str, &str)], setting, expected: &str| {
        let said = said_of(environment, setting).unwrap_or_default();
        assert!(said.contains(expected), "{environment:?}: {said}");
    };
    let with = |name, value| [("TLS_CERTIFICATE_FILE", certificate), ("TLS_KEY_FILE", key), (name, value)];
    says(&[("TLS_CERTIFICATE_FILE", certificate)], "TLS_KEY_FILE", "is required with TLS_CERTIFICATE_FILE");
    says(&[("TLS_KEY_FILE", key)], "TLS_CERTIFICATE_FILE", "is required with TLS_KEY_FILE");
    says(&with("TLS_KEY_FILE", text(&other_key)), "TLS_KEY_FILE", "is not the key of the certificate");
    says(&with("TLS_KEY_FILE", certificate), "TLS_KEY_FILE", "must be a file of an unencrypted private key");
    says(&with("TLS_KEY_FILE", "/nowhere/key"), "TLS_KEY_FILE", "cannot be read: entity not found");
    says(&with("TLS_CERTIFICATE_FILE", key), "TLS_CERTIFICATE_FILE", "must be a file of certificates in PEM");
    says(&with("TLS_CERTIFICATE_FILE", text(&expired_certificate)), "TLS_CERTIFICATE_FILE", "has expired");
    says(&with("TLS_CLIENT_CA_FILE", text(&no_authority)), "TLS_CLIENT_CA_FILE", "must be a file of cert");
    says(&[("TLS_CLIENT_CA_FILE", ca)], "TLS_CLIENT_CA_FILE", "is of no use without TLS_CERTIFICATE_FILE");
    says(&with("TLS_CLIENT_CERTIFICATES", "required"), "TLS_CLIENT_CERTIFICATES", "without TLS_CLIENT_CA_FILE");
    says(&with("TLS_CLIENT_CERTIFICATES", "perhaps"), "TLS_CLIENT_CERTIFICATES", "must be required or optional");
    for setting in ["TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"] {
        assert_eq!(said_of(&with("TLS_CLIENT_CA_FILE", ca), setting), None);
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
        let said = said_of(&plain, setting).unwrap_or_default();
        assert!(said.contains("TLS_CERTIFICATE_FILE"), "{setting}: {said}");
        assert_eq!(said_of(&[&plain[..], &[("ALLOW_INSECURE", "true")]].concat(), setting), None);
    }
    let encrypted = [&plain[..], &tls].concat();
    assert_eq!(said_of(&encrypted, "HTTP_ADDR"), None);
    assert_eq!(said_of(&encrypted, "WEBHOOK_ADDR"), None);
    let said = said_of(&encrypted, "LISTEN_ADDR").unwrap_or_default();
    assert!(said.contains("callers are not authenticated") && !said.contains("not encrypted"), "{said}");
}

#[test]
fn conversation_service_on_another_machine_is_reached_by_tls() {
    let said = |url, allow| {
        let environment = [("CONVERSATION_SERVICE_URL", url), ("ALLOW_INSECURE", allow)];
        said_of(&environment, "CONVERSATION_SERVICE_URL")
    };
    assert!(said("http://conversation:50052", "false").is_some_and(|said| said.contains("use https://")));
    assert_eq!(said("http://conversation:50052", "true"), None);
    assert_eq!(said("https://conversation:50052", "false"), None);
    assert_eq!(said("http://localhost:50052", "false"), None);
    let plain = [("CONVERSATION_SERVICE_CA_FILE", "/nowhere")];
    let said = said_of(&plain, "CONVERSATION_SERVICE_CA_FILE").unwrap_or_default();
    assert!(said.contains("is of no use without https://"), "{said}");
    let missing = [("CONVERSATION_SERVICE_URL", "https://conversation"), ("CONVERSATION_SERVICE_CA_FILE", "/nowhere")];
    let said = said_of(&missing, "CONVERSATION_SERVICE_CA_FILE").unwrap_or_default();
    assert!(said.contains("cannot be read"), "{said}");
}
