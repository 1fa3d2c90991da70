//! A sealed value opens only where it was sealed: not in another row, not in another column, and not when a value beside
//! it was removed.

use prost_types::Struct;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use teppan_shared::{
    contract::conversation::v1::{
        Emotion, FollowUpTrigger, GetContextWindowRequest, GetConversationRequest, GetEmotionHistoryRequest,
        ListConversationsRequest, ListFollowUpsRequest, ListMemoriesRequest, ListMessagesRequest, Role,
        ScheduleFollowUpRequest, SetMemoryRequest, SetSummaryRequest, StoreMessageRequest,
    },
    rotation::SealedTable,
    wire::Timestamp,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation, eventually},
};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::messages::text;

/// Where a sealed value stands.
struct Place {
    table: &'static str,
    key: (&'static str, &'static str),
    column: &'static str,
    row: String,
    value: Vec<u8>,
}

impl Place {
    async fn write(&self, connection: &mut PgConnection, value: Option<&[u8]>) -> Result<(), sqlx::Error> {
        let Self { table, key: (key, kind), column, row, .. } = self;
        let update = format!("UPDATE {table} SET {column} = $1 WHERE {key} = $2::text::{kind}");
        let update = sqlx::query(AssertSqlSafe(update)).bind(value).bind(row);
        update.execute(connection).await.map(drop)
    }
}

/// Every sealed value of a database.
async fn places(connection: &mut PgConnection, tables: &[SealedTable]) -> Vec<Place> {
    let mut places = Vec::new();
    for table in tables {
        let (key, kind, _) = table.key;
        for column in table.columns {
            let select = format!("SELECT {key}::text, {1} FROM {0} WHERE {1} IS NOT NULL", table.name, column.name);
            let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut *connection).await.expect("read");
            assert!(rows.len() >= 2, "{}.{} is tried", table.name, column.name);
            places.extend(rows.iter().map(|row| Place {
                table: table.name,
                key: (key, kind),
                column: column.name,
                row: row.get(0),
                value: row.get(1),
            }));
        }
    }
    places
}

/// A conversation with every kind of sealed value.
async fn fill(service: &Conversation, chat: &str) {
    let metadata = Struct { fields: [("order".to_owned(), "7".to_owned().into())].into() };
    let plain = StoreMessageRequest {
        user_id: format!("user of {chat}"),
        metadata: Some(metadata.clone()),
        emotion: Some(Emotion { score: Some(0.9), label: "joy".to_owned(), detected: vec!["calm".to_owned()] }),
        ..fixtures::message(chat, "Hello")
    };
    let parts = StoreMessageRequest {
        role: Role::Assistant.into(),
        content: String::new(),
        parts: vec![text("Good evening")],
        ..plain.clone()
    };
    let mut client = service.client.clone();
    client.store_message(plain).await.expect("stored");
    let parts = StoreMessageRequest { message_id: Uuid::now_v7().to_string(), ..parts };
    client.store_message(parts).await.expect("stored");
    let summary = SetSummaryRequest {
        conversation_id: chat.to_owned(),
        through_sequence: 2,
        text: "They said hello.".to_owned(),
        written_by: "summariser".to_owned(),
        ..SetSummaryRequest::default()
    };
    client.set_summary(summary).await.expect("set");
    let memory = SetMemoryRequest {
        user_id: format!("user of {chat}"),
        key: "allergies".to_owned(),
        value: "No shellfish".to_owned(),
        ..SetMemoryRequest::default()
    };
    client.set_memory(memory).await.expect("set");
    let follow_up = ScheduleFollowUpRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        conversation_id: chat.to_owned(),
        trigger: FollowUpTrigger::Custom.into(),
        user_id: format!("user of {chat}"),
        content: "See you".to_owned(),
        metadata: Some(metadata),
        due_at: Some(Timestamp { seconds: 4_102_444_800, nanos: 0 }),
        ..ScheduleFollowUpRequest::default()
    };
    service.follow_ups.clone().schedule_follow_up(follow_up).await.expect("scheduled");
}

/// The errors of every call that reads the conversations.
async fn errors(service: &Conversation, chats: &[String]) -> Vec<Status> {
    let (mut client, mut follow_ups) = (service.client.clone(), service.follow_ups.clone());
    let mut errors = vec![client.list_conversations(ListConversationsRequest::default()).await.map(drop).err()];
    for chat in chats {
        let conversation_id = || chat.clone();
        let get = GetConversationRequest { conversation_id: conversation_id() };
        let messages = ListMessagesRequest { conversation_id: conversation_id(), page_size: 1, ..Default::default() };
        let window = GetContextWindowRequest { conversation_id: conversation_id(), ..Default::default() };
        let emotions = GetEmotionHistoryRequest { conversation_id: conversation_id(), ..Default::default() };
        let listed = ListFollowUpsRequest { conversation_id: conversation_id(), ..Default::default() };
        let memories = ListMemoriesRequest { user_id: format!("user of {chat}"), ..Default::default() };
        errors.push(client.list_memories(memories).await.map(drop).err());
        errors.push(client.get_conversation(get).await.map(drop).err());
        errors.push(client.list_messages(messages).await.map(drop).err());
        errors.push(client.get_context_window(window).await.map(drop).err());
        errors.push(client.get_emotion_history(emotions).await.map(drop).err());
        errors.push(follow_ups.list_follow_ups(listed).await.map(drop).err());
    }
    errors.into_iter().flatten().collect()
}

/// Asserts that a read reports DATA_CORRUPTED, and that no error contains a stored text.
async fn assert_found(service: &Conversation, chats: &[String], what: &str) {
    let errors = errors(service, chats).await;
    assert!(!errors.is_empty(), "{what} is not found");
    for error in errors {
        let details = error.get_error_details();
        let reason = details.error_info().map(|info| info.reason.as_str());
        assert_eq!(reason, Some("DATA_CORRUPTED"), "{what}: {error:?}");
        for text in ["Hello", "Good evening", "They said", "See you", "shellfish", "user of"] {
            assert!(!format!("{error:?}").contains(text), "{what}: {error:?}");
        }
    }
}

async fn filled() -> (Conversation, Vec<String>, PgConnection) {
    let service = Conversation::start().await.ready().await;
    let chats = vec![fixtures::conversation_id(), fixtures::conversation_id()];
    for chat in &chats {
        fill(&service, chat).await;
    }
    let pending = "SELECT count(*) FROM emotion_pending";
    eventually("the emotions are counted", async || service.scalar::<i64>(pending).await == 0).await;
    assert!(errors(&service, &chats).await.is_empty());
    let connection = harness::connect(&service.url).await;
    (service, chats, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_of_a_conversation_opens_in_no_other_row_and_in_no_other_column() {
    let (service, chats, mut connection) = filled().await;
    let places = places(&mut connection, &conversation_service::app::SEALED_TABLES).await;
    // That of a follow-up is read only by its claim.
    let is_read = |place: &&Place| (place.table, place.column) != ("follow_ups", "user_sealed");
    for target in places.iter().filter(is_read) {
        for source in places.iter().filter(|source| source.value != target.value) {
            // A conversation and its follow-up have the same user, bound to the conversation.
            let of_conversation = |place: &Place| place.column == "user_sealed" && place.table != "memory_users";
            let is_same_user = of_conversation(source) && of_conversation(target);
            if is_same_user && of_same_chat(&mut connection, source, target).await {
                continue;
            }
            target.write(&mut connection, Some(&source.value)).await.expect("written");
            let what = format!("{}.{} in {}.{}", source.table, source.column, target.table, target.column);
            assert_found(&service, &chats, &what).await;
        }
        target.write(&mut connection, Some(&target.value)).await.expect("written");
    }
    assert!(errors(&service, &chats).await.is_empty(), "everything is as it was");
}

async fn of_same_chat(connection: &mut PgConnection, one: &Place, other: &Place) -> bool {
    let mut chat = async |place: &Place| {
        let Place { table, key: (key, kind), row, .. } = place;
        let select = format!("SELECT conversation_id FROM {table} WHERE {key} = $1::text::{kind}");
        let select = sqlx::query_scalar::<_, String>(AssertSqlSafe(select)).bind(row);
        select.fetch_one(&mut *connection).await.expect("a row")
    };
    chat(one).await == chat(other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_moved_or_of_which_something_was_removed_does_not_open() {
    let (service, chats, mut connection) = filled().await;
    let [first, second] = chats.as_slice() else { unreachable!() };
    for edit in [
        format!(
            "UPDATE messages SET conversation_id = '{second}', sequence = 3 WHERE conversation_id = '{first}' AND sequence = 2"
        ),
        format!("UPDATE messages SET role = 'SYSTEM' WHERE conversation_id = '{first}' AND sequence = 1"),
        format!("UPDATE messages SET metadata_sealed = NULL WHERE conversation_id = '{first}' AND sequence = 1"),
        format!("UPDATE messages SET parts_sealed = NULL WHERE conversation_id = '{first}' AND sequence = 2"),
        format!("UPDATE messages SET emotions_sealed = NULL WHERE conversation_id = '{first}' AND sequence = 1"),
        format!("UPDATE conversation_summaries SET through_sequence = 1 WHERE conversation_id = '{first}'"),
        format!("UPDATE emotion_statistics SET aggregated_through = 99 WHERE conversation_id = '{first}'"),
        format!(
            "UPDATE follow_ups SET conversation_id = '{second}', trigger = 'EMOTION_BASED' WHERE conversation_id = '{first}'"
        ),
    ] {
        let before = "CREATE TEMPORARY TABLE before_messages AS SELECT * FROM messages;
                      CREATE TEMPORARY TABLE before_summaries AS SELECT * FROM conversation_summaries;
                      CREATE TEMPORARY TABLE before_statistics AS SELECT * FROM emotion_statistics;
                      CREATE TEMPORARY TABLE before_follow_ups AS SELECT * FROM follow_ups";
        let after = "DELETE FROM messages; INSERT INTO messages SELECT * FROM before_messages;
                     DELETE FROM conversation_summaries; INSERT INTO conversation_summaries SELECT * FROM before_summaries;
                     DELETE FROM emotion_statistics; INSERT INTO emotion_statistics SELECT * FROM before_statistics;
                     DELETE FROM follow_ups; INSERT INTO follow_ups SELECT * FROM before_follow_ups;
                     DROP TABLE before_messages, before_summaries, before_statistics, before_follow_ups";
        sqlx::raw_sql(before).execute(&mut connection).await.expect("kept");
        let edited = sqlx::query(AssertSqlSafe(edit.clone())).execute(&mut connection).await.expect("edited");
        assert_eq!(edited.rows_affected(), 1, "{edit}");
        assert_found(&service, &chats, &edit).await;
        sqlx::raw_sql(after).execute(&mut connection).await.expect("put back");
        assert!(errors(&service, &chats).await.is_empty(), "everything is as it was");
    }
}
