//! Aggregation of many messages in one run, in a run for each, after a restart, and before the reply.

use std::collections::HashMap;

use teppan_shared::keys::Keys;
use teppan_tests::{
    clients,
    launch::{Process, Which},
};

use super::*;
use crate::environment;

/// Scores and how often each occurs. Their mean falls below the bound three times.
const UPS_AND_DOWNS: [(i32, usize); 6] = [(900, 12), (100, 12), (900, 12), (0, 9), (1000, 10), (50, 15)];

fn ups_and_downs() -> impl Iterator<Item = i32> {
    UPS_AND_DOWNS.into_iter().flat_map(|(score, times)| std::iter::repeat_n(score, times))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fall_of_the_mean_is_suggested_once_when_many_messages_are_counted_in_one_run() {
    let mut service = Conversation::start().await.ready().await;
    let replica = Conversation::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    let held_back = block_aggregation(&service.url).await;
    let mut messages = Vec::new();
    for score in ups_and_downs() {
        messages.push(store(&mut service.client, scored(&chat, score)).await);
    }
    drop(held_back);
    until_everything_is_counted(&service.url).await;
    assert_eq!(service.scalar::<i64>("SELECT aggregated_after FROM emotion_statistics").await, 0, "there was one run");
    assert_eq!(falls(&messages).len(), 3);
    assert_counted((&replica.client, &replica.url), &chat, &mut messages).await;

    // Counted messages are queued again, as after a crash.
    harness::execute(
        &service.url,
        "INSERT INTO emotion_pending SELECT conversation_id, sequence, now() FROM messages WHERE sequence % 3 = 0",
    )
    .await;
    until_everything_is_counted(&service.url).await;
    assert_counted((&replica.client, &replica.url), &chat, &mut messages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fall_of_the_mean_is_suggested_once_when_each_message_is_counted_alone() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut messages = Vec::new();
    for score in ups_and_downs() {
        messages.push(store(&mut service.client, scored(&chat, score)).await);
        until_everything_is_counted(&service.url).await;
    }
    assert_counted((&service.client, &service.url), &chat, &mut messages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_longer_than_a_run_is_counted_in_several() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut messages = vec![store(&mut service.client, scored(&chat, 500)).await];
    // As after the migration of a database without statistics: one queue row covers all messages.
    harness::execute(
        &service.url,
        "BEGIN;
         DELETE FROM emotion_pending; DELETE FROM emotion_statistics;
         INSERT INTO messages
         SELECT gen_random_uuid(), conversation_id, n, role, channel, content_sealed, parts_sealed, (n % 1000) / 1000.0,
                emotions_sealed, metadata_sealed, sent_at, stored_at, input_tokens, output_tokens,
                redacted_at, redacted_by, fingerprint, traceparent
         FROM messages, generate_series(2, 1000) AS n;
         UPDATE conversations SET message_count = 1000, newest_scored_sequence = 1000;
         INSERT INTO emotion_pending SELECT conversation_id, 1000, now() FROM conversations;
         COMMIT",
    )
    .await;
    for n in 2..=1000_i32 {
        let emotion = scored(&chat, n % 1000).emotion;
        messages.push(Message { sequence: n.into(), emotion, ..messages[0].clone() });
    }
    until_everything_is_counted(&service.url).await;
    assert_counted((&service.client, &service.url), &chat, &mut messages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_appears_behind_the_counted_messages_is_worked_off_at_full_speed() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&mut service.client, scored(&chat, 500)).await;
    until_everything_is_counted(&service.url).await;
    // Counted again, as if it came from a replica whose clock is a day ahead.
    harness::execute(
        &service.url,
        "INSERT INTO emotion_pending SELECT conversation_id, 1, now() + interval '1 day' FROM messages",
    )
    .await;
    until_everything_is_counted(&service.url).await;
    // As if a replica was killed while it had very much to do.
    harness::execute(
        &service.url,
        "BEGIN;
         INSERT INTO conversations (conversation_id, channel, message_count, newest_scored_sequence, last_message_at, created_at, updated_at)
         SELECT 'late-' || c, 'WEB', 100, 100, now(), now(), now() FROM generate_series(1, 100) AS c;
         INSERT INTO messages
         SELECT gen_random_uuid(), 'late-' || c, n, role, channel, content_sealed, parts_sealed, 0.5, NULL, metadata_sealed,
                sent_at, stored_at, input_tokens, output_tokens, redacted_at, redacted_by, fingerprint, traceparent
         FROM messages, generate_series(1, 100) AS c, generate_series(1, 100) AS n;
         INSERT INTO emotion_pending
         SELECT conversation_id, sequence, now() - interval '1 hour' FROM messages WHERE conversation_id LIKE 'late-%';
         COMMIT",
    )
    .await;
    // Each run counts 256 of them.
    until_everything_is_counted(&service.url).await;
    let totals: String =
        service.scalar("SELECT sum(score_count) || ' ' || sum(score_sum) FROM emotion_statistics").await;
    assert_eq!(totals, "10001 5000.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_statistics_are_complete_with_the_reply() {
    let first = inline(None).await;
    let second = inline(Some(&first)).await;
    let chat = fixtures::conversation_id();
    let mut messages = Vec::new();
    for score in ups_and_downs().take(30) {
        messages.push(store(&mut first.client.clone(), scored(&chat, score)).await);
        assert_counted((&second.client, &second.url), &chat, &mut messages).await;
    }
    // The same holds for concurrent calls.
    let writers = (0..16).map(|writer| {
        let mut client = if writer % 2 == 0 { first.client.clone() } else { second.client.clone() };
        let request = scored(&chat, writer * 50);
        async move { store(&mut client, request).await }
    });
    messages.extend(join_all(writers).await);
    assert_counted((&first.client, &first.url), &chat, &mut messages).await;
}

/// Starts a service that aggregates only before it replies.
async fn inline(over: Option<&Conversation>) -> Conversation {
    let (url, keys) = match over {
        Some(other) => (other.url.clone(), other.keys.clone()),
        None => (harness::database(&conversation_service::app::DEFINITION).await, Keys::random()),
    };
    let emotions = EmotionSettings { aggregation: EmotionAggregation::Inline, interval: Duration::from_hours(1) };
    let common = harness::settings(url.clone(), &keys);
    Conversation::with_emotion_settings(emotions, common, url, keys).await.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_a_killed_process_did_not_count_are_counted_after_a_restart() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let environment: HashMap<_, _> = environment::with_keys(&url).collect();
    let chats: Vec<_> = (0..4).map(|_| fixtures::conversation_id()).collect();

    let mut stored = Vec::new();
    let mut unanswered = Vec::new();
    for _ in 0..3 {
        let (process, client) = process(&environment).await;
        for request in std::mem::take(&mut unanswered) {
            stored.push(store(&mut client.clone(), request).await);
        }
        let writers = (0..8).map(|writer| {
            let (mut client, chat) = (client.clone(), chats[writer % chats.len()].clone());
            async move {
                let mut stored = Vec::new();
                loop {
                    let request = any(&chat);
                    match client.store_message(request.clone()).await {
                        Ok(answer) => stored.push(answer.into_inner().message.expect("the message")),
                        Err(_) => return (stored, request),
                    }
                }
            }
        });
        let kill = async {
            harness::eventually("some messages are not counted yet", async || {
                harness::scalar::<i64>(&url, "SELECT count(*) FROM messages").await % 200 > 100
            })
            .await;
            drop(process); // by SIGKILL
        };
        let (written, ()) = tokio::join!(join_all(writers), kill);
        for (answered, request) in written {
            stored.extend(answered);
            unanswered.push(request);
        }
    }

    let (_process, client) = process(&environment).await;
    for request in unanswered {
        stored.push(store(&mut client.clone(), request).await);
    }
    until_everything_is_counted(&url).await;
    for chat in &chats {
        let mut messages: Vec<_> = stored.iter().filter(|it| it.conversation_id == *chat).cloned().collect();
        assert_counted((&client, &url), chat, &mut messages).await;
    }
}

/// Starts a process of the service and waits until it answers.
async fn process(environment: &HashMap<String, String>) -> (Process, Client) {
    let process = Process::start(Which::Conversation, environment).await.unwrap_or_else(|error| panic!("{error}"));
    let client = clients::conversations(process.grpc);
    harness::eventually("the process answers", async || {
        client.clone().store_message(fixtures::message("probe", "Hello")).await.is_ok()
    })
    .await;
    (process, client)
}
