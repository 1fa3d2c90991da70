use secrecy::SecretString;
use serde_json::Value;
use teppan_shared::{keys::Keys, nats::NatsSettings};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_one_event_with_ids_only_and_a_repeated_call_is_none() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let common = harness::settings(url.clone(), &keys);
    // Nobody publishes: the events stay in the outbox.
    let nats = NatsSettings { url: SecretString::from("nats://127.0.0.1:1"), ..Default::default() };
    let service = Conversation::changed(common, url, keys, |settings| {
        settings.nats = Some(nats);
        settings.relay.relays = 0;
    });
    let service = service.await.ready().await;
    let chat = begun(&service).await;
    for _ in 0..2 {
        escalate(&service, &chat, "").await;
    }
    for holder in [person("agent-7"), person("agent-7"), QUEUE, ASSISTANT, person("agent-8")] {
        assign(&service, &chat, holder, "").await.expect("assigned");
    }
    for _ in 0..2 {
        close(&service, &chat, "").await.expect("closed");
    }
    let events: Value = service
        .scalar("SELECT json_agg(json_build_object('type', type, 'data', data) ORDER BY version) FROM outbox_messages")
        .await;
    let seen: Vec<_> = events
        .as_array()
        .expect("events")
        .iter()
        .map(|event| {
            let data = event["data"].as_object().expect("an object");
            assert_eq!(data["conversation_id"], chat);
            assert!(data["occurred_at"].is_string());
            let fields =
                ["reason", "holder", "assignee"].map(|field| data.get(field).and_then(Value::as_str).unwrap_or("-"));
            (event["type"].as_str().expect("a type"), fields.join(" "), data.len())
        })
        .collect();
    let seen: Vec<_> = seen.iter().map(|(kind, fields, len)| (*kind, fields.as_str(), *len)).collect();
    assert_eq!(
        seen,
        [
            ("teppan.conversation.escalated.v1", "ESCALATION_REASON_CUSTOMER_REQUEST - ", 5),
            ("teppan.conversation.assigned.v1", "- CONVERSATION_HOLDER_PERSON agent-7", 5),
            ("teppan.conversation.assigned.v1", "- CONVERSATION_HOLDER_QUEUE ", 5),
            ("teppan.conversation.assigned.v1", "- CONVERSATION_HOLDER_ASSISTANT ", 5),
            ("teppan.conversation.escalated.v1", "ESCALATION_REASON_OTHER - agent-8", 5),
            ("teppan.conversation.closed.v1", "- - -", 3),
        ]
    );
}
