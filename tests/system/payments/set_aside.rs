use std::collections::HashMap;

use serde_json::json;
use teppan_shared::contract::booking::v1::{DeadLetterSelection, DiscardDeadLettersRequest};
use teppan_tests::{
    clients::BookingClients,
    harness::{self, eventually},
    launch::{Process, Which},
    stripe,
};

use super::SECRET;
use crate::environment;

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_set_aside_are_in_the_metrics_until_they_are_discarded() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let mut process_env: HashMap<_, _> = environment::with_keys(&url).collect();
    process_env.insert("STRIPE_WEBHOOK_SECRETS".to_owned(), SECRET.to_owned());
    process_env.insert("STRIPE_LIVEMODE".to_owned(), "false".to_owned());
    process_env.insert("BACKLOG_INTERVAL_MS".to_owned(), "50".to_owned());
    let process = Process::start(Which::Booking, &process_env).await.expect("the process starts");
    let shows = async |line: &str| {
        let request = "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let (_, metrics) = stripe::exchange(process.http, request.as_bytes()).await;
        metrics.lines().any(|it| it.starts_with("teppan_stripe_event_set_aside") && it.contains(line))
    };
    eventually("no event is set aside", async || shows(" 0").await).await;
    let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
    eventually("the event is accepted", async || stripe::send(process.http, &unreadable, SECRET).await.0 == 200).await;
    eventually("one event is set aside", async || shows("} 1").await || shows("aside 1").await).await;
    harness::execute(&url, "UPDATE stripe_events SET settled_at = now() - interval '1000 days'").await;
    eventually("the age is at its maximum", async || shows(" 86400").await).await;
    let selection = Some(DeadLetterSelection { all: true, ..Default::default() });
    let discard = DiscardDeadLettersRequest { selection };
    BookingClients::new(process.grpc).outbox.discard_dead_letters(discard).await.expect("discarded");
    eventually("no event is set aside", async || !shows(" 1").await && !shows(" 86400").await).await;
}
