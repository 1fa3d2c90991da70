//! Checks of JWTs.

use std::{fs, pin::pin};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use teppan_shared::{
    config::CommonSettings,
    contract::booking::v1::{StreamBookingEventsRequest, StreamBookingEventsResponse},
    identity::{IssuerSettings, KeySetSource},
};
use teppan_tests::{
    callers::{call, reason},
    token_issuer::{AUDIENCE, ISSUER, SigningKey, claims, claims_with, key_set, now_seconds},
};
use tonic::{Code, Request, Status, Streaming};

use super::*;

/// Makes a service accept tokens of the test issuer.
pub fn accept(settings: &mut CommonSettings, key_set: KeySetSource) {
    settings.server.identity.issuer = Some(IssuerSettings {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        key_set,
        roles_claim: "roles".to_owned(),
        name_claim: "sub".to_owned(),
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn only_valid_unexpired_tokens_of_the_issuer_for_this_service_are_accepted() {
    let (ed25519, p256, foreign) = (SigningKey::ed25519("ed"), SigningKey::p256("p"), SigningKey::ed25519("ed"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    fs::write(&file, key_set(&[&ed25519, &p256])).expect("written");
    let service = conversation(|settings| accept(settings, KeySetSource::File(file))).await;
    // Each call uses a new connection, because a connection is closed after many refused calls.
    let outcome = async |token: String| reason(&call(&channel_to(&service), STORE_MESSAGE, Some(&token)).await);
    let accepted = ("INVALID_FIELDS".to_owned(), String::new());
    let denied = ("ROLE_MISSING".to_owned(), "orchestrator".to_owned());

    let good = claims("assistant", &["orchestrator", "role-of-another-service"]);
    for key in [&ed25519, &p256] {
        assert_eq!(outcome(key.token(&good)).await, accepted);
        // The second call finds the token in the cache.
        assert_eq!(outcome(key.token(&good)).await, accepted);
    }
    assert_eq!(outcome(ed25519.token(&claims_with("aud", json!(["other", AUDIENCE])))).await, accepted);
    assert_eq!(outcome(ed25519.token(&claims_with("roles", json!("sender orchestrator")))).await, accepted);
    assert_eq!(
        outcome(ed25519.token(&claims_with("exp", json!(now_seconds() - 5)))).await,
        accepted,
        "clocks may differ by 30 s"
    );
    assert_eq!(outcome(ed25519.token(&claims("assistant", &["venue"]))).await, denied);
    for roles in [Value::Null, json!(["admin"]), json!({"orchestrator": true}), json!(7)] {
        assert_eq!(outcome(ed25519.token(&claims_with("roles", roles))).await, denied);
    }

    let expired = ("CREDENTIALS_EXPIRED".to_owned(), "orchestrator".to_owned());
    assert_eq!(outcome(ed25519.token(&claims_with("exp", json!(now_seconds() - 60)))).await, expired);

    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let mut tampered = p256.token(&good).split('.').map(ToOwned::to_owned).collect::<Vec<_>>();
    tampered[1] = BASE64_URL_SAFE_NO_PAD.encode(claims("assistant", &["privacy", "orchestrator"]).to_string());
    let no_token = "not a token of this service or its issuer";
    for (token, problem) in [
        (ed25519.token(&claims_with("iss", json!("https://other.example"))), "issuer"),
        (ed25519.token(&claims_with("iss", Value::Null)), "exp, iss or aud is missing"),
        (ed25519.token(&claims_with("aud", json!("other"))), "audience"),
        (ed25519.token(&claims_with("aud", Value::Null)), "exp, iss or aud is missing"),
        (ed25519.token(&claims_with("exp", Value::Null)), "exp, iss or aud is missing"),
        (ed25519.token(&claims_with("exp", json!("never"))), "exp, iss or aud is missing"),
        (ed25519.token(&claims_with("nbf", json!(now_seconds() + 600))), "not valid yet"),
        (ed25519.token(&claims_with("sub", Value::Null)), "the claim of the holder's name"),
        (ed25519.token(&claims_with("sub", json!("two\nlines"))), "the claim of the holder's name"),
        (foreign.token(&good), "signature"),
        (tampered.join("."), "signature"),
        (ed25519.token_with(&header("none", "ed"), &good), no_token),
        (ed25519.token_with(&header("HS256", "ed"), &good), "algorithm"),
        (ed25519.token_with(&header("ES256", "ed"), &good), "algorithm"),
        (p256.token_with(&header("ES384", "p"), &good), "algorithm"),
        (p256.token_with(&header("EdDSA", "p"), &good), "algorithm"),
        (ed25519.token_with(&header("EdDSA", "unknown"), &good), "unknown key"),
        (ed25519.token_with(&json!({"alg": "EdDSA"}), &good), "unknown key"),
        (ed25519.token_with(&json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false}), &good), no_token),
        ("e30.e30.".to_owned(), no_token),
        ("a.b.c".to_owned(), no_token),
    ] {
        assert_eq!(outcome(token.clone()).await, ("CREDENTIALS_INVALID".to_owned(), problem.to_owned()), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claims_of_roles_and_name_can_be_configured() {
    let key = SigningKey::ed25519("a");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    fs::write(&file, key_set(&[&key])).expect("written");
    let service = conversation(|settings| {
        accept(settings, KeySetSource::File(file));
        let issuer = settings.server.identity.issuer.as_mut().expect("one");
        issuer.roles_claim = "realm_access.roles".to_owned();
        issuer.name_claim = "azp".to_owned();
    })
    .await;
    let mut claims = claims("0193a1f2", &[]);
    claims["azp"] = json!("assistant");
    claims["realm_access"] = json!({"roles": ["offline_access", "orchestrator"]});
    let called = call(&channel_to(&service), STORE_MESSAGE, Some(&key.token(&claims))).await;
    assert_eq!(reason(&called).0, "INVALID_FIELDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_token_that_opened_it_expires() {
    let key = SigningKey::ed25519("ed");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    fs::write(&file, key_set(&[&key])).expect("written");
    let service = booking(|settings| accept(settings, KeySetSource::File(file))).await;
    let open = async |exp: u64| {
        let mut claims = claims("reporting", &["operator"]);
        claims["exp"] = json!(exp);
        let mut request = Request::new(StreamBookingEventsRequest { follow: true, ..Default::default() });
        let bearer = format!("Bearer {}", key.token(&claims)).parse().expect("a header");
        request.metadata_mut().insert("authorization", bearer);
        let answer = service.clients.clone().bookings.stream_booking_events(request).await;
        answer.expect("the token is valid").into_inner()
    };
    // Clocks may differ by 30 s, so the first token is valid for 3 more seconds.
    let (short, long) = (open(now_seconds() - 27).await, open(now_seconds() + 3600).await);
    let (mut short, mut long) = (pin!(end_of(short)), pin!(end_of(long)));
    let ended = tokio::select! {
        ended = &mut short => ended,
        other = &mut long => panic!("the stream with the valid token ended: {other:?}"),
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
}

/// The status with which a stream with `follow` ends.
async fn end_of(mut stream: Streaming<StreamBookingEventsResponse>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_cursor)) => {}
            Ok(None) => panic!("a stream that follows has no last event"),
            Err(status) => return status,
        }
    }
}
