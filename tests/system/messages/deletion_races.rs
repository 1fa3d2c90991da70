//! Deletions beside everything else that reads and writes a conversation.

use std::time::Duration;

use conversation_service::settings::{EmotionAggregation, EmotionSettings};
use futures::future::join_all;
use rand::Rng as _;
use teppan_shared::contract::conversation::v1::{
    CancelFollowUpRequest, Emotion, FollowUpKey, GetContextWindowRequest, RedactMessageRequest, StoreMessageRequest,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{calling, deletion::delete, kind, plain, store_many, summary};
use crate::{
    dispatch::fixture::{self, claim, completion, waiting},
    follow_ups::{request, schedule},
};

const CLIENTS: usize = 24;
const CALLS: usize = 12;

/// The refusals of calls about what was deleted meanwhile. Any other error is a fault.
fn may_be_gone<T>(result: Result<T, Status>) {
    let Err(status) = result else { return };
    let (code, reason) = kind(&status);
    let fits = code == Code::NotFound || ["SUMMARY_OUTDATED", "SUMMARY_AHEAD"].contains(&reason.as_str());
    assert!(fits, "{status:?}");
}

/// One random call about the conversation.
async fn act(service: &Conversation, chat: &str) {
    let mut client = service.client.clone();
    let emotion = Some(Emotion { score: Some(0.1), label: "anger".to_owned(), detected: Vec::new() });
    let user_id = format!("user-{}", rand::random_range(0..3));
    let scored = StoreMessageRequest { emotion, user_id, ..plain(chat, "Hello") };
    let action = rand::rng().random_range(0..9);
    match action {
        0 => drop(delete(service, chat).await),
        1 | 2 => drop(client.store_message(scored).await.expect("stored")),
        3 => {
            let called = calling(chat, &Uuid::new_v4().to_string());
            store_many(service, chat, &[scored, called, plain(chat, "Thanks")]).await.expect("stored");
        }
        4 => {
            let message = client.store_message(scored).await.expect("stored").into_inner().message.expect("it");
            let message_id = message.message_id;
            let redact = RedactMessageRequest { conversation_id: chat.to_owned(), message_id };
            may_be_gone(client.redact_message(redact).await);
        }
        5 => may_be_gone(client.set_summary(summary(chat, 1, "Mina wants a table.")).await),
        6 => {
            let request = GetContextWindowRequest { conversation_id: chat.to_owned(), ..Default::default() };
            may_be_gone(client.get_context_window(request).await);
        }
        _ => {
            let new = request(chat);
            let key =
                FollowUpKey { conversation_id: chat.to_owned(), trigger: new.trigger, subject: new.subject.clone() };
            schedule(service, new).await;
            let cancel = CancelFollowUpRequest { key: Some(key), ..Default::default() };
            may_be_gone(service.follow_ups.clone().cancel_follow_up(cancel).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_deleted_and_begun_anew_beside_every_other_call_stays_consistent() {
    let first = Conversation::start().await.ready().await;
    let common = harness::settings(first.url.clone(), &first.keys);
    let inline = EmotionSettings { aggregation: EmotionAggregation::Inline, interval: Duration::from_millis(1) };
    let second = Conversation::with_emotion_settings(inline, common, first.url.clone(), first.keys.clone());
    let second = second.await.ready().await;
    let chats: Vec<_> = (0..3).map(|_| fixtures::conversation_id()).collect();
    join_all((0..CLIENTS).map(|number| {
        let service = if number % 2 == 0 { &first } else { &second };
        let chat = &chats[number % chats.len()];
        async move {
            for _ in 0..CALLS {
                act(service, chat).await;
            }
        }
    }))
    .await;
    for chat in &chats {
        // So that each exists, and something is left to count.
        store_many(&first, chat, &[plain(chat, "Hello"), plain(chat, "Thanks")]).await.expect("stored");
    }
    let counted = "SELECT NOT EXISTS (SELECT FROM emotion_pending)";
    harness::eventually("everything is counted", async || first.scalar::<bool>(counted).await).await;
    let sound = "
        SELECT bool_and(
            message_count = (SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.conversation_id)
            AND message_count = (SELECT max(sequence) FROM messages AS m WHERE m.conversation_id = c.conversation_id)
            AND COALESCE((SELECT score_count FROM emotion_statistics AS s WHERE s.conversation_id = c.conversation_id), 0)
                = (SELECT count(emotion_score) FROM messages AS m WHERE m.conversation_id = c.conversation_id)
            AND COALESCE((SELECT through_sequence FROM conversation_summaries AS s
                          WHERE s.conversation_id = c.conversation_id), 0) <= message_count)
        FROM conversations AS c";
    assert!(first.scalar::<bool>(sound).await);
    for chat in &chats {
        delete(&second, chat).await;
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(first.scalar::<i64>(deadlocks).await, 0);
    let left = "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM tool_calls)
                + (SELECT count(*) FROM follow_ups) + (SELECT count(*) FROM emotion_statistics)
                + (SELECT count(*) FROM idempotency_keys WHERE follow_up_id IS NOT NULL)";
    assert_eq!(first.scalar::<i64>(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_and_the_completion_of_a_follow_up_and_its_redaction_do_not_deadlock() {
    let service = fixture::start().await;
    for _ in 0..6 {
        let chats: Vec<_> = (0..8).map(|_| fixtures::conversation_id()).collect();
        let follow_ups: Vec<_> = chats.iter().map(|chat| fixture::custom(chat, "How was your evening?")).collect();
        fixture::schedule(&service, &follow_ups).await;
        fixture::until(&service, "SELECT NOT EXISTS (SELECT FROM follow_ups WHERE ready_at IS NULL)").await;
        let claimed = claim(&service.follow_ups, waiting()).await;
        assert_eq!(claimed.len(), 8);
        join_all(claimed.iter().map(|claimed| {
            let (mut follow_ups, mut client) = (service.follow_ups.clone(), service.client.clone());
            let conversation_id = claimed.follow_up.as_ref().expect("it").conversation_id.clone();
            let redact = RedactMessageRequest {
                conversation_id: conversation_id.clone(),
                message_id: claimed.message_id.clone(),
            };
            let completion = completion(claimed);
            let service = &service;
            async move {
                let (completed, redacted, _) = tokio::join!(
                    follow_ups.complete_follow_up(completion),
                    client.redact_message(redact),
                    delete(service, &conversation_id)
                );
                may_be_gone(completed);
                may_be_gone(redacted);
                delete(service, &conversation_id).await;
            }
        }))
        .await;
        assert_eq!(service.scalar::<i64>("SELECT (SELECT count(*) FROM messages) + count(*) FROM follow_ups").await, 0);
    }
}
