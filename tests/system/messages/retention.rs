//! Conversations are deleted after their retention time.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use teppan_shared::{
    contract::conversation::v1::{GetConversationRequest, StoreMessageRequest},
    keys::Keys,
    wire::timestamp,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation, eventually},
};

use tonic::Code;

use super::{plain, store};
use crate::follow_ups::{request, schedule};

/// A service that keeps conversations for seven days, and looks for older ones every 20 ms.
async fn keeping_seven_days() -> Conversation {
    let (url, keys) = (harness::database(&conversation_service::app::DEFINITION).await, Keys::random());
    let common = harness::settings(url.clone(), &keys);
    let starting = Conversation::changed(common, url, keys, |settings| {
        settings.scheduling.retention.conversations = Some(Duration::from_hours(7 * 24));
        settings.scheduling.retention.interval = Duration::from_millis(20);
    });
    starting.await.ready().await
}

/// This many days pass for a conversation.
async fn later(service: &Conversation, chat: &str, days: u32) {
    let passed = format!(
        "UPDATE conversations SET last_message_at = last_message_at - interval '{days} days',
                                  updated_at = updated_at - interval '{days} days'
         WHERE conversation_id = '{chat}'"
    );
    harness::execute(&service.url, AssertSqlSafe(passed)).await;
}

async fn exists(service: &Conversation, chat: &str) -> bool {
    let get = GetConversationRequest { conversation_id: chat.to_owned() };
    let found = service.client.clone().get_conversation(get).await;
    if let Err(status) = &found {
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
    }
    found.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_has_not_changed_for_so_long_is_deleted_unless_somebody_waits_for_it() {
    let service = keeping_seven_days().await;
    let [old, young, awaited, escalated, imported] = [(); 5].map(|()| fixtures::conversation_id());
    for chat in [&old, &young, &awaited, &escalated] {
        store(&service, plain(chat, "Hello")).await;
    }
    let long_ago = Some(timestamp(chrono::Utc::now() - chrono::TimeDelta::days(365)));
    store(&service, StoreMessageRequest { sent_at: long_ago, ..plain(&imported, "Hello") }).await;
    schedule(&service, request(&awaited)).await;
    let escalate = format!("UPDATE conversations SET status = 'ESCALATED' WHERE conversation_id = '{escalated}'");
    harness::execute(&service.url, AssertSqlSafe(escalate)).await;
    later(&service, &young, 6).await;
    for chat in [&awaited, &escalated, &old] {
        later(&service, chat, 8).await;
    }
    eventually("the old one is deleted", async || !exists(&service, &old).await).await;
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM messages").await, 4);
    // Two more rounds have passed when another old one is gone.
    store(&service, plain(&old, "Hello again")).await;
    later(&service, &old, 8).await;
    eventually("it is deleted again", async || !exists(&service, &old).await).await;
    for kept in [&young, &awaited, &escalated, &imported] {
        assert!(exists(&service, kept).await);
    }

    harness::execute(
        &service.url,
        "UPDATE follow_ups SET status = 'MISSED', next_attempt_at = NULL, finished_at = now()",
    )
    .await;
    eventually("nothing is awaited any more", async || !exists(&service, &awaited).await).await;
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM follow_ups").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_conversations_than_one_run_looks_at_are_all_looked_at() {
    let service = keeping_seven_days().await;
    let insert = "INSERT INTO conversations
                      (conversation_id, channel, message_count, last_message_at, created_at, updated_at)
                  SELECT 'chat-' || n, 'WEB', 1, at, at, at
                  FROM generate_series(1, 2500) AS n, LATERAL (SELECT now() - interval '1 day' * (n % 10)) AS it (at)";
    harness::execute(&service.url, insert).await;
    let old = "SELECT count(*) FROM conversations WHERE last_message_at < now() - interval '7 days'";
    eventually("all old ones are deleted", async || service.scalar::<i64>(old).await == 0).await;
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM conversations").await, 1750);
}
