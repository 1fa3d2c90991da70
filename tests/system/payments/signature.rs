use std::collections::HashMap;

use chrono::{TimeDelta, Utc};
use teppan_shared::keys::Keys;
use teppan_tests::{
    harness::{self, Booking},
    launch::{Process, Which},
    stripe::{self, Intent, exchange, post, signature, signed},
};
use uuid::Uuid;

use super::{SECRET, StripeFixture};
use crate::environment;
use booking_service::domain::StripeSecrets;
use secrecy::SecretString;

#[tokio::test(flavor = "multi_thread")]
async fn only_events_that_stripe_signed_within_the_tolerance_are_accepted() {
    let fixture = StripeFixture::with_seats(10).await;
    let http = fixture.service.service.server.http_addr;
    let event = Intent::of(&Uuid::nil().to_string(), 3500).succeeded();
    let (body, now) = (event.to_string(), Utc::now());
    let right = signature(&body, SECRET, now);
    let (t, wrong) = (now.timestamp(), "0".repeat(64));
    let refused = [
        None,
        Some(String::new()),
        Some("nonsense".to_owned()),
        Some(format!("t={t}")),
        Some(format!("v1={right}")),
        Some(format!("t={t},v0={right}")),
        Some(format!("t={t},v1={wrong}")),
        Some(format!("t={},v1={right}", t - 1)),
        Some(format!("t={t},v1={}", &right[..62])),
        Some(signed(&body, "whsec_of_another", now)),
        Some(signed(&body, SECRET, now - TimeDelta::seconds(310))),
        Some(signed(&body, SECRET, now + TimeDelta::seconds(310))),
    ];
    for header in refused {
        let (code, answer) = post(http, header.as_deref(), &body).await;
        assert_eq!(code, 400, "{header:?}: {answer}");
        assert!(answer.contains("BAD_SIGNATURE"), "{answer}");
    }
    let (code, _) = post(http, Some(&signed(&body, SECRET, now)), &body.replace("3500", "35")).await;
    assert_eq!(code, 400, "the body was changed after signing");
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 0);

    let good = format!("t={t},v0=legacy,v1={wrong},v1={right}");
    assert_eq!(post(http, Some(&good), &body).await.0, 200, "one of several signatures is valid");
    let late = Intent::of(&Uuid::nil().to_string(), 1).succeeded().to_string();
    let almost = signed(&late, SECRET, now - TimeDelta::seconds(290));
    assert_eq!(post(http, Some(&almost), &late).await.0, 200, "a delay within the tolerance");
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_both_secrets_are_valid_and_without_a_secret_no_event_is_accepted() {
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    let with = async |secrets: Option<&str>| {
        let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
        if let Some(secrets) = secrets {
            settings.stripe.secrets = StripeSecrets::parse(&SecretString::from(secrets)).expect("secrets");
        }
        Booking::configured(settings, url.clone(), keys.clone()).await.ready().await
    };
    let rotating = with(Some("whsec_new,whsec_old")).await;
    let http = rotating.service.server.http_addr;
    for (secret, expected) in [("whsec_new", 200), ("whsec_old", 200), ("whsec_new,whsec_old", 400)] {
        let event = Intent::of(&Uuid::nil().to_string(), 3500).succeeded();
        assert_eq!(stripe::send(http, &event, secret).await.0, expected, "{secret}");
    }
    let without = with(None).await;
    let event = Intent::of(&Uuid::nil().to_string(), 3500).succeeded();
    let (code, answer) = stripe::send(without.service.server.http_addr, &event, "").await;
    assert_eq!(code, 503);
    assert!(answer.contains("STRIPE_WEBHOOK_SECRETS"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_events_are_refused_and_unknown_events_are_stored_and_ignored() {
    let fixture = StripeFixture::with_seats(10).await;
    let http = fixture.service.service.server.http_addr;
    for body in ["", "{}", "[1]", "\u{0}", "{\"id\":\"evt_1\",\"type\":\"x\"}"] {
        let (code, answer) = post(http, Some(&signed(body, SECRET, Utc::now())), body).await;
        assert_eq!(code, 400, "{body:?}: {answer}");
        assert!(answer.contains("NO_EVENT"), "{answer}");
    }
    let large = "x".repeat(1024 * 1024 + 1);
    let (code, answer) = post(http, Some(&signed(&large, SECRET, Utc::now())), &large).await;
    assert_eq!(code, 413, "{answer}");
    // A chunked body, whose length is not announced.
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n";
    let request = format!("{head}Stripe-Signature: {}\r\n\r\n{chunk}", signed(&large, SECRET, Utc::now()));
    assert_eq!(exchange(http, request.as_bytes()).await.0, 413);
    let get = "GET /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(http, get.as_bytes()).await.0, 405);
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM stripe_events").await, 0);

    let strange = stripe::event("issuing_card.created", serde_json::json!({"amount": "much", "id": 7}));
    fixture.send_event(&strange).await;
    let id = strange["id"].as_str().expect("an id");
    assert_eq!(fixture.event_state(id).await, ("DONE".to_owned(), 0, "IGNORED".to_owned()));
    let personal = "SELECT count(*) FROM stripe_events e WHERE e::text ILIKE '%mina%' OR e::text LIKE '%@%'";
    fixture.send_event(&Intent::of(&Uuid::nil().to_string(), 1).session_completed()).await;
    assert_eq!(fixture.service.scalar::<i64>(personal).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_unavailable_the_webhook_answers_503_and_stripe_sends_the_event_again() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.secrets = StripeSecrets::parse(&SecretString::from(SECRET)).expect("a secret");
    let service = Booking::configured(settings, url, keys).await.ready().await;
    let http = service.service.server.http_addr;
    let event = Intent::of(&Uuid::nil().to_string(), 3500).succeeded();
    proxy.refuse().await.expect("the port is kept");
    let (code, answer) = stripe::send(http, &event, SECRET).await;
    assert_eq!(code, 503, "{answer}");
    proxy.restore();
    harness::eventually("the event is accepted", async || stripe::send(http, &event, SECRET).await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_separate_wrong_times_wrong_signatures_and_unreadable_events() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let mut process_env: HashMap<_, _> = environment::with_keys(&url).collect();
    process_env.insert("STRIPE_WEBHOOK_SECRETS".to_owned(), SECRET.to_owned());
    process_env.insert("STRIPE_LIVEMODE".to_owned(), "false".to_owned());
    let process = Process::start(Which::Booking, &process_env).await.expect("the process starts");
    let now = Utc::now();
    for header in [
        signed("{}", SECRET, now - TimeDelta::seconds(310)),
        signed("{}", SECRET, now + TimeDelta::seconds(400)),
        signed("{}", "whsec_of_another", now),
        signed("{}", SECRET, now),
    ] {
        assert_eq!(post(process.http, Some(&header), "{}").await.0, 400);
    }
    let request = "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let (_, metrics) = exchange(process.http, request.as_bytes()).await;
    for (outcome, count) in [("out_of_tolerance", 2), ("bad_signature", 1), ("no_event", 1)] {
        let is_it = |line: &str| {
            line.starts_with("teppan_stripe_webhook_requests")
                && line.contains(&format!("outcome=\"{outcome}\""))
                && line.ends_with(&format!(" {count}"))
        };
        assert!(metrics.lines().any(is_it), "{outcome}: {metrics}");
    }
}
