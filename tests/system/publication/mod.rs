//! Events that conversation-service publishes to NATS.

mod dead_letters;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use teppan_shared::{
    contract::conversation::v1::{Emotion, FollowUpTrigger, ScheduleFollowUpRequest, StoreMessageRequest},
    keys::Keys,
    nats::NatsSettings,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};

use crate::{
    dispatch::fixture::{claim_one, completion, quick},
    outbox::{
        nats::{STREAM, published},
        nats_server::NatsServer,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn mood_falls_and_follow_ups_are_published_once_and_in_order_also_when_nats_crashes() {
    let nats = NatsServer::start().await;
    let url = nats.url();
    let first = publishing(None, &url).await;
    let second = publishing(Some(&first), &url).await;

    let follow_up_id = followed_up(&first, "before").await;
    let left = nats.kill().await;
    let fallen = fixtures::conversation_id();
    let low = Emotion { score: Some(0.1), ..Default::default() };
    for _ in 0..3 {
        let message = StoreMessageRequest { emotion: Some(low.clone()), ..fixtures::message(&fallen, "No!") };
        second.client.clone().store_message(message).await.expect("stored without NATS too");
    }
    let other_id = followed_up(&second, "unavailable").await;
    let nats = NatsServer::again(left).await;
    harness::within(Duration::from_secs(40), "everything is published", async || {
        first.scalar::<i64>("SELECT count(*) FROM outbox_messages").await == 0
    })
    .await;

    let events = published(&nats.url()).await;
    for id in [&follow_up_id, &other_id] {
        let of_it = events.iter().filter(|(_, _, event)| event["data"]["follow_up_id"] == id.as_str());
        let subjects: Vec<_> = of_it.map(|(subject, ..)| subject.as_str()).collect();
        assert_eq!(subjects, ["teppan.follow_up.scheduled", "teppan.follow_up.due", "teppan.follow_up.completed"]);
    }
    let is_fall = |event: &&(String, String, Value)| event.0 == "teppan.conversation.escalation_suggested";
    let falls: Vec<_> = events.iter().filter(is_fall).collect();
    assert_eq!(falls.len(), 1, "one event for one fall");
    let fall = &falls[0].2;
    assert_eq!(fall["type"], "teppan.conversation.escalation_suggested.v1");
    assert_eq!((&fall["source"], &fall["subject"]), (&"/teppan/conversation-service".into(), &fallen.clone().into()));
    assert_eq!(fall["data"]["through_sequence"], "1");
    let kept: String = first.scalar("SELECT event_id::text FROM escalation_suggestions").await;
    assert_eq!(fall["id"], kept);
    for service in [first, second] {
        service.service.stop().await;
    }
}

/// A service that publishes, over its own database or that of `replica_of`.
async fn publishing(replica_of: Option<&Conversation>, url: &str) -> Conversation {
    let (database, keys) = match replica_of {
        Some(other) => (other.url.clone(), other.keys.clone()),
        None => (harness::database(&conversation_service::app::DEFINITION).await, Keys::random()),
    };
    let common = harness::settings(database.clone(), &keys);
    let nats = NatsSettings { url: SecretString::from(url), stream: STREAM.to_owned(), ..Default::default() };
    let service = Conversation::changed(common, database, keys, |settings| {
        settings.nats = Some(nats);
        settings.dispatch = quick();
        settings.scheduling.sending_hours = "00:00-24:00".parse().expect("all day");
    });
    service.await.ready().await
}

/// Schedules a follow-up that is due at once, completes it, and returns its id.
async fn followed_up(service: &Conversation, key: &str) -> String {
    let chat = fixtures::conversation_id();
    service.client.clone().store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
    let request = ScheduleFollowUpRequest {
        idempotency_key: key.to_owned(),
        conversation_id: chat,
        trigger: FollowUpTrigger::EmotionBased.into(),
        due_at: Some(chrono::Utc::now().into()),
        ..Default::default()
    };
    let mut client = service.follow_ups.clone();
    let scheduled = client.schedule_follow_up(request).await.expect("scheduled").into_inner();
    let claimed = claim_one(&client).await;
    client.complete_follow_up(completion(&claimed)).await.expect("completed");
    scheduled.follow_up.expect("the follow-up").follow_up_id
}
