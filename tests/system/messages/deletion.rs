use std::time::Instant;

use secrecy::SecretString;
use serde_json::Value;
use teppan_shared::{
    contract::conversation::v1::{DeleteConversationRequest, DeleteConversationResponse, Emotion, StoreMessageRequest},
    identity::Role,
    keys::Keys,
    nats::NatsSettings,
};
use teppan_tests::{
    callers::{Callers, with_token},
    fixtures,
    harness::{self, Conversation},
};
use tonic::Code;

use super::{answering, calling, kind, list, plain, read, store, summary, wrong_fields};
use crate::{
    dispatch::fixture::{self, claim_one, completion, user_hash},
    follow_ups::{request, schedule},
    statements::{apply_plan_settings, run},
};

const COMMIT: &str = include_str!("../../../conversation-service/src/emotions/aggregate_commit.sql");

pub async fn delete(service: &Conversation, chat: &str) -> DeleteConversationResponse {
    let request = DeleteConversationRequest { conversation_id: chat.to_owned() };
    service.client.clone().delete_conversation(request).await.expect("deleted").into_inner()
}

/// A message of a customer in a bad mood.
fn unhappy(chat: &str, user: &str) -> StoreMessageRequest {
    let emotion = Some(Emotion { score: Some(0.1), label: "anger".to_owned(), detected: Vec::new() });
    StoreMessageRequest { emotion, user_id: user.to_owned(), ..plain(chat, "I am Mina Sato.") }
}

/// A conversation with everything that a conversation can have.
async fn full(service: &Conversation, chat: &str, user: &str) {
    store(service, unhappy(chat, user)).await;
    store(service, calling(chat, "call-1")).await;
    store(service, answering(chat, "call-1")).await;
    service.client.clone().set_summary(summary(chat, 2, "Mina wants a table.")).await.expect("set");
    let counted = async || read(service, chat).await.emotion_statistics.is_some();
    harness::eventually("the emotion is counted", counted).await;
    schedule(service, request(chat)).await;
}

/// How many rows of each table with this column have the value, of those that have any.
async fn rows(service: &Conversation, column: &str, value: &str) -> Vec<(String, i64)> {
    let mut connection = harness::connect(&service.url).await;
    let tables = "SELECT table_name::text FROM information_schema.columns JOIN information_schema.tables
                  USING (table_schema, table_name)
                  WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name = $1 ORDER BY 1";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).bind(column).fetch_all(&mut connection).await.expect("the tables");
    let mut rows = Vec::new();
    for table in tables {
        let count = format!("SELECT count(*) FROM {table} WHERE {column}::text = $1");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).bind(value).fetch_one(&mut connection).await;
        let count: i64 = count.expect("a count");
        if count > 0 {
            rows.push((table, count));
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_conversation_is_gone_and_nothing_of_another() {
    let service = Conversation::start().await.ready().await;
    let (chat, other) = (fixtures::conversation_id(), fixtures::conversation_id());
    full(&service, &chat, "user-1042").await;
    full(&service, &other, "user-1042").await;
    let user = user_hash(&service, "user-1042").map(|byte| format!("{byte:02x}")).concat();
    let user = format!("\\x{user}");
    let before = rows(&service, "conversation_id", &other).await;
    let tables: Vec<_> = before.iter().map(|(table, _)| table.as_str()).collect();
    for table in ["messages", "emotion_statistics", "escalation_suggestions", "conversation_summaries", "tool_results"]
    {
        assert!(tables.contains(&table), "{tables:?}");
    }
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM idempotency_keys").await, 2);

    let deleted = delete(&service, &chat).await;
    assert_eq!((deleted.messages_deleted, deleted.follow_ups_deleted), (3, 1));
    assert_eq!(rows(&service, "conversation_id", &chat).await, []);
    assert_eq!(rows(&service, "conversation_id", &other).await, before);
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM idempotency_keys").await, 1);
    assert_eq!(
        rows(&service, "user_hash", &user).await,
        [("conversations".to_owned(), 1), ("reengagement_checks".to_owned(), 1)]
    );
    let again = delete(&service, &chat).await;
    assert_eq!((again.messages_deleted, again.follow_ups_deleted), (0, 0), "nothing is there");

    delete(&service, &other).await;
    assert_eq!(rows(&service, "user_hash", &user).await, [], "it was the customer's last conversation");
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM idempotency_keys").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_used_again_begins_a_new_conversation() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    full(&service, &chat, "user-1042").await;
    let old = list(&service, &chat).await;
    delete(&service, &chat).await;
    let client = &mut service.client.clone();
    let request = teppan_shared::contract::conversation::v1::GetConversationRequest { conversation_id: chat.clone() };
    let status = client.get_conversation(request).await.expect_err("gone");
    assert_eq!(kind(&status), (Code::NotFound, "CONVERSATION_NOT_FOUND".to_owned()));

    let first = store(&service, plain(&chat, "Hello again")).await;
    assert_eq!(first.sequence, 1);
    // Also with the id of a message that was deleted, and with the id of a tool call.
    let retried = StoreMessageRequest { message_id: old[0].message_id.clone(), ..plain(&chat, "other words") };
    assert_eq!(store(&service, retried).await.sequence, 2);
    store(&service, calling(&chat, "call-1")).await;
    let new = read(&service, &chat).await;
    assert_eq!((new.message_count, new.user_id.as_str()), (3, ""));
    assert_eq!((new.summary, new.emotion_statistics), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_without_a_conversation_is_deleted_and_one_that_is_being_sent_cannot_be_completed() {
    let service = fixture::start().await;
    let (chat, unknown) = (fixtures::conversation_id(), fixtures::conversation_id());
    store(&service, plain(&chat, "Hello")).await;
    schedule(&service, request(&unknown)).await;
    let deleted = delete(&service, &unknown).await;
    assert_eq!((deleted.messages_deleted, deleted.follow_ups_deleted), (0, 1));

    fixture::schedule(&service, &[fixture::custom(&chat, "How was your evening?")]).await;
    fixture::until(&service, "SELECT EXISTS (SELECT FROM follow_ups WHERE ready_at IS NOT NULL)").await;
    let claimed = claim_one(&service.follow_ups).await;
    delete(&service, &chat).await;
    let status = service.follow_ups.clone().complete_follow_up(completion(&claimed)).await.expect_err("gone");
    assert_eq!(kind(&status), (Code::NotFound, "FOLLOW_UP_NOT_FOUND".to_owned()));
    assert_eq!(rows(&service, "conversation_id", &chat).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregation_of_a_deleted_conversation_writes_nothing_to_the_one_that_has_its_id_now() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&service, plain(&chat, "Hello")).await;
    let began: String = service.scalar("SELECT to_json(created_at)#>>'{}' FROM conversations").await;
    delete(&service, &chat).await;
    store(&service, plain(&chat, "Hello")).await;
    let mut connection = harness::connect(&service.url).await;
    apply_plan_settings(&mut connection).await;
    run(&mut connection, format!("PREPARE commit (jsonb, timestamptz, boolean, bytea[]) AS {COMMIT}")).await;
    let now: String = service.scalar("SELECT to_json(created_at)#>>'{}' FROM conversations").await;
    for (created_at, written) in [(began, 0), (now, 1)] {
        let counted = format!(
            r#"[{{"conversation_id": "{chat}", "created_at": "{created_at}", "through_before": 0, "through": 1,
                 "score_count": 1, "score_sum": "0.1", "score_min": 0.1, "score_max": 0.1,
                 "recent_scores": [0.1], "recent_mean": 0.1, "falls": []}}]"#
        );
        run(&mut connection, format!("EXECUTE commit ('{counted}', now(), false, '{{x}}')")).await;
        assert_eq!(service.scalar::<i64>("SELECT count(*) FROM emotion_statistics").await, written);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_which_conversation_was_deleted_and_by_whom() {
    let callers = Callers::default();
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut common = harness::settings(url.clone(), &keys);
    callers.guard(&mut common);
    // Nobody publishes: the event stays in the outbox.
    let nats = NatsSettings { url: SecretString::from("nats://127.0.0.1:1"), ..Default::default() };
    let service = Conversation::changed(common, url, keys, |settings| {
        settings.nats = Some(nats);
        settings.relay.relays = 0;
    });
    let service = service.await.ready().await;
    let mut client = service.client.clone();
    let said = plain(&fixtures::conversation_id(), "I am Mina Sato.");
    let request = DeleteConversationRequest { conversation_id: said.conversation_id.clone() };
    client.store_message(with_token(callers.token(Role::Orchestrator), said)).await.expect("stored");
    for role in [Role::Sender, Role::Operator, Role::Venue] {
        let denied = with_token(callers.token(role), request.clone());
        let status = client.delete_conversation(denied).await.expect_err("denied");
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    for role in [Role::Privacy, Role::Orchestrator] {
        client.delete_conversation(with_token(callers.token(role), request.clone())).await.expect("deleted");
    }
    let events: Value =
        service.scalar("SELECT json_agg(json_build_object('type', type, 'data', data)) FROM outbox_messages").await;
    let events = events.as_array().expect("events");
    assert_eq!(events.len(), 1, "only the first call deletes");
    assert_eq!(events[0]["type"], "teppan.conversation.deleted.v1");
    let data = &events[0]["data"];
    assert_eq!((&data["conversation_id"], &data["deleted_by"]), (&request.conversation_id.into(), &"privacy".into()));
    assert!(data["occurred_at"].is_string());
    assert_eq!(data.as_object().expect("an object").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_id_is_refused() {
    let service = Conversation::start().await.ready().await;
    for id in ["", "two words"] {
        let request = DeleteConversationRequest { conversation_id: id.to_owned() };
        let status = service.client.clone().delete_conversation(request).await.expect_err("refused");
        assert_eq!(wrong_fields(&status), ["conversation_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_of_100000_messages_is_deleted_within_the_time_of_a_call() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&service, calling(&chat, "call-0")).await;
    harness::execute(
        &service.url,
        "UPDATE conversations SET message_count = 100000;
         INSERT INTO messages (
             message_id, conversation_id, sequence, role, channel, content_sealed, sent_at, stored_at, fingerprint)
         SELECT gen_random_uuid(), conversation_id, n, 'USER', 'WEB', decode(repeat(md5(n::text), 12), 'hex'), now(),
                now(), sha256('')
         FROM conversations, generate_series(2, 100000) AS n;
         INSERT INTO tool_calls
         SELECT conversation_id, 'call-' || n, n FROM conversations, generate_series(2, 20000) AS n;
         INSERT INTO tool_results
         SELECT conversation_id, 'call-' || n, n + 1 FROM conversations, generate_series(2, 20000) AS n",
    )
    .await;
    let begin = Instant::now();
    let deleted = delete(&service, &chat).await;
    println!("100,000 messages and 20,000 tool calls are deleted in {:?}", begin.elapsed());
    assert_eq!(deleted.messages_deleted, 100_000);
    assert_eq!(rows(&service, "conversation_id", &chat).await, []);
}
