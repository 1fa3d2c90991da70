//! The ways to authenticate to NATS, each with a server that requires it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Parser;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use teppan_shared::{
    config::Problems,
    nats::{NatsArgs, Publisher},
};
use teppan_tests::{
    authority::{Authority, Mounted},
    harness,
};

use super::nats_server::NatsServer;
use crate::logs::log_of;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    nats: NatsArgs,
}

/// Connects with these settings and creates the stream, or returns the error.
async fn connect(settings: &[&str]) -> Result<(), String> {
    let cli = Cli::parse_from(["test"].iter().chain(settings));
    let mut problems = Problems::default();
    let settings = cli.nats.parse(false, &mut problems);
    problems.finish().map_err(|problems| problems.to_string())?;
    let settings = settings.flatten().expect("NATS is named");
    Publisher::new(settings).connect().await.map_err(|error| error.to_string())
}

/// A file in a folder, with this text.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_password_of_the_url_are_used_and_never_logged() {
    let nats = NatsServer::configured(r#"authorization { user: "us@er", password: "hunter2/" }"#).await;
    let url = format!("nats://us%40er:hunter2%2F@127.0.0.1:{}", nats.port);
    connect(&["--nats-url", &url]).await.expect("the login succeeds");
    // The first server does not exist; the second uses the same login.
    let several = format!("nats://us%40er:hunter2%2F@127.0.0.1:1, nats://127.0.0.1:{}", nats.port);
    connect(&["--nats-url", &several]).await.expect("the login succeeds");
    for wrong in [nats.url(), url.replace("hunter2", "hunter3")] {
        let refused = connect(&["--nats-url", &wrong]).await.expect_err("the login is refused");
        assert!(!refused.contains("hunter"), "{refused}");
    }

    let database = harness::database(&booking_service::app::DEFINITION).await;
    for level in ["info", "trace"] {
        let settings = [("NATS_URL", url.as_str()), ("OUTBOX_RELAYS", "1"), ("LOG_LEVEL", level)];
        let log = log_of(&database, &settings, async |service| service.until_logged("ready").await).await;
        assert!(!log.contains("NATS cannot be used") && !log.contains("hunter2"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_read_from_the_url_from_a_setting_or_from_a_file() {
    let nats = NatsServer::configured(r#"authorization { token: "hunter2" }"#).await;
    let (folder, url) = (tempfile::tempdir().expect("a folder"), nats.url());
    let token = file(&folder, "token", "hunter2\n");
    connect(&["--nats-url", &format!("nats://hunter2@127.0.0.1:{}", nats.port)]).await.expect("the login succeeds");
    connect(&["--nats-url", &url, "--nats-token", "hunter2"]).await.expect("the login succeeds");
    connect(&["--nats-url", &url, "--nats-token-file", text(&token)]).await.expect("the login succeeds");
    connect(&["--nats-url", &url]).await.expect_err("the login is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_encrypted_and_the_servers_certificate_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let certificate = file(&folder, "certificate.pem", &made.cert.pem());
    let key = file(&folder, "key.pem", &made.signing_key.serialize_pem());
    let config = format!(
        "tls {{ cert_file: {:?}, key_file: {:?} }}\nauthorization {{ user: a, password: b }}",
        text(&certificate),
        text(&key)
    );
    let nats = NatsServer::configured(&config).await;
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://a:b@127.0.0.1:{}", nats.port);
        connect(&["--nats-url", &url, "--nats-ca-file", text(&certificate)]).await.expect(scheme);
        connect(&["--nats-url", &url]).await.expect_err("the certificate is not trusted");
    }

    let open = NatsServer::start().await;
    let url = open.url().replace("nats://", "tls://");
    let refused = connect(&["--nats-url", &url, "--nats-ca-file", text(&certificate)]).await;
    refused.expect_err("tls:// never falls back to plaintext");
    let refused = connect(&["--nats-url", &url, "--nats-ca-file", text(&key)]).await.expect_err("a bad setting");
    assert!(refused.contains("NATS_CA_FILE: must be a file of certificates"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_sent_to_a_server_that_requires_one() {
    let authority = Authority::new("test authority");
    let server = Mounted::new(&authority.server(), &authority.pem());
    let client = Mounted::new(&authority.client("booking-service"), &authority.pem());
    let config = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        server.certificate(),
        server.key(),
        server.authorities()
    );
    let nats = NatsServer::configured(&config).await;
    let (certificate, key, ca) = (client.certificate(), client.key(), client.authorities());
    let settings = ["--nats-url", &nats.url(), "--nats-ca-file", text(&ca)];
    let with_pair = [&settings[..], &["--nats-certificate-file", text(&certificate), "--nats-key-file", text(&key)]];
    connect(&with_pair.concat()).await.expect("the login succeeds");
    connect(&settings).await.expect_err("no client certificate is set");
    let half = [&settings[..], &["--nats-certificate-file", text(&certificate)]].concat();
    let refused = connect(&half).await.expect_err("a bad setting");
    assert!(refused.contains("NATS_KEY_FILE: is required with NATS_CERTIFICATE_FILE"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_logs_in_by_its_seed() {
    let user = KeyPair::new_user();
    let nats =
        NatsServer::configured(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key())).await;
    let folder = tempfile::tempdir().expect("a folder");
    let seed = file(&folder, "seed", &user.seed().expect("a seed"));
    connect(&["--nats-url", &nats.url(), "--nats-credentials-file", text(&seed)]).await.expect("the login succeeds");
    let other = KeyPair::new_user().seed().expect("a seed");
    connect(&["--nats-url", &nats.url(), "--nats-credentials", &other]).await.expect_err("the login is refused");
    let refused = connect(&["--nats-url", &nats.url(), "--nats-credentials", "hunter2"]).await.expect_err("no seed");
    assert!(refused.contains("NATS_CREDENTIALS: must be a JWT") && !refused.contains("hunter2"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creds_file_logs_in_to_its_account() {
    let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let user = KeyPair::new_user();
    let unlimited = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let mut with_jetstream = unlimited.clone();
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        with_jetstream[limit] = (-1).into();
    }
    let of_operator = json!({ "type": "operator", "version": 2, "system_account": system.public_key() });
    let config = format!(
        "operator: {}\nsystem_account: {system_key}\nresolver: MEMORY\nresolver_preload: {{ {system_key}: {}, {}: {} }}",
        jwt(&operator, &operator, &of_operator),
        jwt(&operator, &system, &json!({ "type": "account", "version": 2, "limits": unlimited })),
        account.public_key(),
        jwt(&operator, &account, &json!({ "type": "account", "version": 2, "limits": with_jetstream })),
        system_key = system.public_key(),
    );
    let nats = NatsServer::configured(&config).await;
    let of_user = json!({ "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt(&account, &user, &of_user),
        user.seed().expect("a seed"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let credentials = file(&folder, "teppan.creds", &credentials);
    connect(&["--nats-url", &nats.url(), "--nats-credentials-file", text(&credentials)])
        .await
        .expect("the login succeeds");
    connect(&["--nats-url", &nats.url()]).await.expect_err("the login is refused");
}

/// A signed JWT of `issuer` about `subject`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": uuid::Uuid::new_v4().to_string(), "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "teppan",
        "sub": subject.public_key(), "nats": nats,
    });
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("signed");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
