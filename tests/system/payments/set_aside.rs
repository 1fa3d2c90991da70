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
async fn what_is_set_aside_is_in_the_metrics_until_somebody_has_seen_to_it() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let mut process_env: HashMap<_, _> = environment::with_keys(&url).collect();
    process_env.insert("STRIPE_WEBHOOK_SECRETS".to_owned(), SECRET.to_owned());
    process_env.insert("STRIPE_LIVEMODE".to_owned(), "false".to_owned());
    process_env.insert("BACKLOG_INTERVAL_MS".to_owned(), "50".to_owned());
    let process = Process::start(Which::Booking, &process_env).await.expect("it starts");
    let says = async |line: &str| {
        let request = "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let (_, metrics) = stripe::exchange(process.http, request.as_bytes()).await;
        metrics.lines().any(|it| it.starts_with("teppan_stripe_event_set_aside") && it.contains(line))
    };
    eventually("there are none", async || says(" 0").await).await;
    let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
    eventually("it is taken", async || stripe::send(process.http, &unreadable, SECRET).await.0 == 200).await;
    eventually("there is one", async || says("} 1").await || says("aside 1").await).await;
    harness::execute(&url, "UPDATE stripe_events SET settled_at = now() - interval '1000 days'").await;
    eventually("an old one", async || says(" 86400").await).await;
    let selection = Some(DeadLetterSelection { all: true, ..Default::default() });
    let discard = DiscardDeadLettersRequest { selection };
    BookingClients::new(process.grpc).outbox.discard_dead_letters(discard).await.expect("discarded");
    eventually("there are none", async || !says(" 1").await && !says(" 86400").await).await;
}
