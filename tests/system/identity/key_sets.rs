//! Sources of the keys that JWTs are checked with.

use std::{fs, time::Duration};

use serde_json::json;
use teppan_shared::identity::KeySetSource;
use teppan_tests::{
    callers::{call, reason},
    harness::eventually,
    token_issuer::{KeySetServer, SigningKey, claims, key_set},
};

use super::{jwts::accept, *};

fn at(server: &KeySetServer) -> KeySetSource {
    KeySetSource::Url(server.url().parse().expect("a URL"))
}

/// The reason with which a call with a token of this key ends. Each call uses a new connection, because a connection
/// is closed after many refused calls.
async fn outcome(service: &Conversation, key: &SigningKey) -> String {
    reason(&call(&channel_to(service), STORE_MESSAGE, Some(&key.token(&claims("assistant", &["orchestrator"])))).await)
        .0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_when_its_first_token_arrives_and_a_removed_key_is_no_longer_accepted() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::p256("new"));
    let server = KeySetServer::start(key_set(&[&old])).await;
    let service = conversation(|settings| accept(settings, at(&server))).await;
    assert_eq!(outcome(&service, &old).await, "INVALID_FIELDS");
    assert_eq!(outcome(&service, &new).await, "CREDENTIALS_INVALID");

    server.serve(key_set(&[&old, &new]));
    eventually("the new key is fetched", async || outcome(&service, &new).await == "INVALID_FIELDS").await;
    assert_eq!(outcome(&service, &old).await, "INVALID_FIELDS");

    server.serve(key_set(&[&new]));
    let unknown = SigningKey::ed25519("unknown");
    eventually("the old key is gone", async || {
        outcome(&service, &unknown).await;
        outcome(&service, &old).await == "CREDENTIALS_INVALID"
    })
    .await;
    assert_eq!(outcome(&service, &new).await, "INVALID_FIELDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_keys_cause_few_requests_to_the_issuer_and_refuse_no_valid_token() {
    /// Too few refused calls for the service to close the connection.
    const CALLS: usize = 10;
    let key = SigningKey::ed25519("a");
    let server = KeySetServer::start(key_set(&[&key])).await;
    let service = conversation(|settings| accept(settings, at(&server))).await;
    assert_eq!(outcome(&service, &key).await, "INVALID_FIELDS");
    let since = tokio::time::Instant::now();
    let hostile = async |connection: usize| {
        let channel = channel_to(&service);
        for n in 0..CALLS {
            let header = json!({"alg": "EdDSA", "kid": format!("made-up-{connection}-{n}")});
            let token = key.token_with(&header, &claims("hostile", &["orchestrator"]));
            call(&channel, STORE_MESSAGE, Some(&token)).await.expect_err("the key is unknown");
        }
    };
    for _ in 0..10 {
        futures::future::join_all((0..100).map(&hostile)).await;
        assert_eq!(outcome(&service, &key).await, "INVALID_FIELDS");
    }
    // One request at the start, then at most one in 5 s.
    let most = 3 + usize::try_from(since.elapsed().as_secs() / 5).expect("few");
    assert!(server.requests() <= most, "{} requests in {:?}", server.requests(), since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_stay_valid_while_the_issuer_is_unavailable_or_returns_invalid_key_sets() {
    let key = SigningKey::ed25519("a");
    let server = KeySetServer::start(key_set(&[&key])).await;
    let service = conversation(|settings| accept(settings, at(&server))).await;
    assert_eq!(outcome(&service, &key).await, "INVALID_FIELDS");
    let unknown = SigningKey::ed25519("unknown");
    for invalid in ["<html>".to_owned(), "{\"keys\": []}".to_owned(), "x".repeat(1024 * 1024), String::new()] {
        server.fail(invalid.is_empty());
        server.serve(invalid);
        let before = server.requests();
        eventually("the key set is requested again", async || {
            assert_eq!(outcome(&service, &unknown).await, "CREDENTIALS_INVALID");
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.requests() > before
        })
        .await;
        assert_eq!(outcome(&service, &key).await, "INVALID_FIELDS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_with_issuer_unavailable_until_the_keys_of_the_issuer_are_fetched() {
    let key = SigningKey::ed25519("a");
    let server = KeySetServer::start(key_set(&[&key])).await;
    server.fail(true);
    let service = conversation(|settings| accept(settings, at(&server))).await;
    assert_eq!(outcome(&service, &key).await, "ISSUER_UNAVAILABLE");
    server.fail(false);
    eventually("the keys are fetched", async || outcome(&service, &key).await == "INVALID_FIELDS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_file_is_reloaded_when_it_changes() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::p256("new"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    fs::write(&file, key_set(&[&old])).expect("written");
    let service = conversation(|settings| accept(settings, KeySetSource::File(file.clone()))).await;
    assert_eq!(outcome(&service, &old).await, "INVALID_FIELDS");
    fs::write(&file, key_set(&[&new])).expect("written");
    eventually("the new key is known", async || outcome(&service, &new).await == "INVALID_FIELDS").await;
    assert_eq!(
        outcome(&service, &old).await,
        "CREDENTIALS_INVALID",
        "the cached token of a removed key is no longer accepted"
    );
}
