//! Re-engagement of customers who have not written for a long time.

use conversation_service::settings::DispatchSettings;
use sqlx::AssertSqlSafe;
use teppan_shared::contract::conversation::v1::StoreMessageRequest;
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};

use super::fixture::*;

/// Creates a conversation of a user whose last message is this many days old.
async fn inactive_for(service: &Conversation, user: &str, days: u32) -> String {
    let chat = fixtures::conversation_id();
    let message = StoreMessageRequest { user_id: user.to_owned(), ..fixtures::message(&chat, "Hello") };
    service.client.clone().store_message(message).await.expect("stored");
    let ago = format!(
        "UPDATE conversations SET customer_wrote_at = now() - interval '{days} days' WHERE conversation_id = '{chat}'"
    );
    harness::execute(&service.url, AssertSqlSafe(ago)).await;
    chat
}

/// The customer of a user.
fn customer_of(user: &str) -> String {
    format!("md5('{user}')::uuid")
}

/// Records that the user's customer has had a booking in this conversation.
async fn booked_in(service: &Conversation, user: &str, chat: &str) {
    let customer = customer_of(user);
    let booked = format!(
        "INSERT INTO follow_ups (follow_up_id, conversation_id, trigger, status, due_at, time_zone, attempts, max_attempts,
                                 message_id, created_at, updated_at, finished_at, customer_id)
         SELECT gen_random_uuid(), '{chat}', 'POST_EVENT', 'MISSED', at, 'UTC', 0, 5, gen_random_uuid(), at, at, at, {customer}
         FROM (SELECT now() - interval '20 days') AS it (at)"
    );
    harness::execute(&service.url, AssertSqlSafe(booked)).await;
}

/// Records that the user's customer has agreed to messages of this kind.
async fn agrees(service: &Conversation, user: &str) {
    let consent = format!(
        "INSERT INTO customer_consents VALUES ({}, 'MARKETING', '', true, 2) ON CONFLICT DO NOTHING",
        customer_of(user)
    );
    harness::execute(&service.url, AssertSqlSafe(consent)).await;
}

/// Like [`inactive_for`], of a user who has had a booking and has agreed to messages of this kind.
async fn agreeing_and_inactive_for(service: &Conversation, user: &str, days: u32) -> String {
    let chat = inactive_for(service, user, days).await;
    booked_in(service, user, &chat).await;
    agrees(service, user).await;
    chat
}

/// Makes the check of every user due, and waits until all are checked.
async fn check_all(service: &Conversation) {
    harness::execute(&service.url, "UPDATE reengagement_checks SET check_at = now()").await;
    until(service, "SELECT count(*) = 0 FROM reengagement_checks WHERE check_at <= now()").await;
}

async fn scheduled(service: &Conversation) -> Vec<String> {
    let query = "SELECT conversation_id FROM follow_ups WHERE trigger = 'REENGAGEMENT' ORDER BY created_at";
    sqlx::query_scalar(query).fetch_all(&mut harness::connect(&service.url).await).await.expect("answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_inactive_in_all_conversations_is_re_engaged_once() {
    let service = start().await;
    let other = replica(&service).await;
    let (mina, newest) = ("mina", agreeing_and_inactive_for(&service, "mina", 31).await);
    agreeing_and_inactive_for(&service, mina, 40).await;
    agreeing_and_inactive_for(&service, "kenji", 31).await;
    agreeing_and_inactive_for(&service, "kenji", 29).await;
    for _ in 0..3 {
        check_all(&service).await;
    }
    assert_eq!(
        scheduled(&service).await,
        std::slice::from_ref(&newest),
        "once, in the newest conversation, and not for Kenji, who wrote 29 days ago"
    );

    // Sending the follow-up does not start a new period.
    let claimed = claim_one(&other.follow_ups).await;
    service.follow_ups.clone().complete_follow_up(completion(&claimed)).await.expect("completed");
    check_all(&service).await;
    assert_eq!(scheduled(&service).await.len(), 1);

    // A message of the customer does.
    service.client.clone().store_message(fixtures::message(&newest, "Hello again")).await.expect("stored");
    check_all(&service).await;
    assert_eq!(scheduled(&service).await.len(), 1);
    harness::execute(
        &service.url,
        "UPDATE conversations SET customer_wrote_at = customer_wrote_at - interval '30 days'",
    )
    .await;
    check_all(&service).await;
    assert_eq!(scheduled(&service).await.iter().filter(|chat| **chat == newest).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_user_whose_customer_has_agreed_to_marketing_is_re_engaged() {
    let service = start().await;
    let chat = inactive_for(&service, "mina", 40).await;
    check_all(&service).await;
    assert!(scheduled(&service).await.is_empty(), "nobody knows the customer");
    booked_in(&service, "mina", &chat).await;
    check_all(&service).await;
    assert!(scheduled(&service).await.is_empty(), "the customer has not agreed");
    agrees(&service, "mina").await;
    check_all(&service).await;
    assert_eq!(scheduled(&service).await, [chat]);
    let named = "SELECT bool_and(purpose = 'MARKETING' AND customer_id = md5('mina')::uuid)
                 FROM follow_ups WHERE trigger = 'REENGAGEMENT'";
    assert!(service.scalar::<bool>(named).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_future_follow_up_or_an_escalated_conversation_is_not_re_engaged() {
    let service = start().await;
    let booked = agreeing_and_inactive_for(&service, "mina", 50).await;
    agreeing_and_inactive_for(&service, "mina", 40).await;
    let later = Scheduled { due_at: chrono::Utc::now() + chrono::TimeDelta::days(9), ..due(&booked) };
    schedule(&service, &[later]).await;
    let escalated = agreeing_and_inactive_for(&service, "kenji", 40).await;
    let escalate = format!("UPDATE conversations SET status = 'ESCALATED' WHERE conversation_id = '{escalated}'");
    harness::execute(&service.url, AssertSqlSafe(escalate)).await;
    check_all(&service).await;
    assert!(scheduled(&service).await.is_empty());

    harness::execute(
        &service.url,
        "UPDATE conversations SET status = 'OPEN';
         UPDATE follow_ups SET status = 'CANCELLED', cancellation_reason = 'REQUESTED', finished_at = now(), next_attempt_at = NULL
         WHERE finished_at IS NULL",
    )
    .await;
    check_all(&service).await;
    assert_eq!(scheduled(&service).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_checked_from_the_first_conversation_that_names_them() {
    let mut service = start_with(DispatchSettings { reengagement_after: None, ..quick() }).await;
    let chat = fixtures::conversation_id();
    let users = "SELECT count(*) FROM reengagement_checks";
    service.client.store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
    assert_eq!(service.scalar::<i64>(users).await, 0);
    let named = |user: &str| StoreMessageRequest { user_id: user.to_owned(), ..fixtures::message(&chat, "Hello") };
    service.client.store_message(named("mina")).await.expect("stored");
    assert_eq!(service.scalar::<i64>(users).await, 1);
    service.client.store_message(named("kenji")).await.expect("stored");
    assert_eq!(service.scalar::<i64>(users).await, 1, "the conversation keeps its first user");

    inactive_for(&service, "mina", 400).await;
    harness::execute(&service.url, "UPDATE reengagement_checks SET check_at = now() - interval '1 day'").await;
    // Re-engagement runs as often as the clock, which these rounds show to have run several times.
    for _ in 0..5 {
        schedule(&service, &[due(&chat)]).await;
        until(&service, "SELECT bool_and(ready_at IS NOT NULL) FROM follow_ups").await;
    }
    assert!(scheduled(&service).await.is_empty(), "re-engagement is switched off");
    let late = "SELECT bool_and(check_at < now()) FROM reengagement_checks";
    assert!(service.scalar::<bool>(late).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_engagement_is_cancelled_when_its_user_writes_or_books_first() {
    let service = start().await;
    let mut chats = Vec::new();
    for user in ["writes", "books", "silent"] {
        let chat = inactive_for(&service, user, 31).await;
        inactive_for(&service, user, 40).await;
        let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        let reengagement = Scheduled {
            trigger: "REENGAGEMENT",
            subject: String::new(),
            user_id: Some(user.to_owned()),
            due_at: later,
            ..due(&chat)
        };
        schedule(&service, &[reengagement]).await;
        chats.push(chat);
    }
    harness::execute(&service.url, "UPDATE follow_ups SET created_at = now() - interval '1 hour'").await;
    // The message and the booking are in another conversation than the re-engagement.
    let mut connection = harness::connect(&service.url).await;
    let elsewhere = "UPDATE conversations SET customer_wrote_at = now()
                     WHERE user_hash = $1 AND customer_wrote_at < now() - interval '35 days'";
    let writes = user_hash(&service, "writes").to_vec();
    sqlx::query(elsewhere).bind(writes).execute(&mut connection).await.expect("updated");
    let query = "SELECT conversation_id FROM conversations
                 WHERE user_hash = $1 AND customer_wrote_at < now() - interval '35 days'";
    let books = sqlx::query_scalar(query).bind(user_hash(&service, "books").to_vec());
    let books: String = books.fetch_one(&mut connection).await.expect("a conversation");
    let booked = Scheduled { due_at: chrono::Utc::now() + chrono::TimeDelta::days(9), ..due(&books) };
    schedule(&service, &[booked]).await;
    harness::execute(&service.url, "UPDATE follow_ups SET next_attempt_at = now() WHERE trigger = 'REENGAGEMENT'")
        .await;
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE status = 'CANCELLED' AND finished_at IS NOT NULL").await;
    let claimed = claim_one(&service.follow_ups).await;
    assert_eq!(claimed.follow_up.expect("the follow-up").conversation_id, chats[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_conversations_is_removed_and_one_with_20000_conversations_is_re_engaged_once() {
    let service = start().await;
    let rows = "
        INSERT INTO conversations (conversation_id, user_hash, user_sealed, channel, message_count, last_message_at,
                                   customer_wrote_at, created_at, updated_at)
        SELECT 'chat-' || n, sha256('kiosk'), '', 'WEB', 1, now(), now() - interval '31 days', now() - make_interval(mins => n), now()
        FROM generate_series(1, 20000) AS n;
        INSERT INTO follow_ups (follow_up_id, conversation_id, trigger, status, due_at, time_zone, max_attempts, message_id,
                                created_at, updated_at, finished_at, customer_id)
        SELECT gen_random_uuid(), 'chat-7', 'POST_EVENT', 'MISSED', now(), 'UTC', 5, gen_random_uuid(), now(), now(), now(),
               md5('kiosk')::uuid;
        INSERT INTO customer_consents VALUES (md5('kiosk')::uuid, 'MARKETING', '', true, 2);
        ANALYZE conversations;
        INSERT INTO reengagement_checks VALUES (sha256('gone'), now()), (sha256('kiosk'), now())";
    harness::execute(&service.url, rows).await;
    until(&service, "SELECT count(*) = 0 FROM reengagement_checks WHERE check_at <= now()").await;
    let only_kiosk = "SELECT array_agg(user_hash) = ARRAY[sha256('kiosk')] FROM reengagement_checks";
    assert!(service.scalar::<bool>(only_kiosk).await);
    assert_eq!(scheduled(&service).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_re_engage_many_users_once_each() {
    let service = start().await;
    let other = replica(&service).await;
    agreeing_and_inactive_for(&service, "first", 31).await;
    let many = "
        INSERT INTO conversations (conversation_id, user_hash, user_sealed, channel, message_count, last_message_at,
                                   customer_wrote_at, created_at, updated_at)
        SELECT 'chat-' || n, sha256(('user-' || n / 2)::bytea), '', 'WEB', 1, now(), now() - interval '31 days', now(), now()
        FROM generate_series(0, 999) AS n;
        INSERT INTO follow_ups (follow_up_id, conversation_id, trigger, status, due_at, time_zone, max_attempts, message_id,
                                created_at, updated_at, finished_at, customer_id)
        SELECT gen_random_uuid(), 'chat-' || n, 'POST_EVENT', 'MISSED', now(), 'UTC', 5, gen_random_uuid(), now(), now(), now(),
               md5('user-' || n / 2)::uuid
        FROM generate_series(0, 999, 2) AS n;
        INSERT INTO customer_consents
        SELECT md5('user-' || n)::uuid, 'MARKETING', 'WEB', true, 2 FROM generate_series(0, 499) AS n;
        INSERT INTO reengagement_checks SELECT sha256(('user-' || n)::bytea), now() FROM generate_series(0, 499) AS n";
    harness::execute(&service.url, many).await;
    check_all(&other).await;
    check_all(&service).await;
    let once = "SELECT count(*) = 501 AND count(DISTINCT conversations.user_hash) = 501
                FROM follow_ups JOIN conversations USING (conversation_id) WHERE trigger = 'REENGAGEMENT'";
    assert!(service.scalar::<bool>(once).await);
}
