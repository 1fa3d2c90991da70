use chrono::{TimeDelta, Utc};
use teppan_shared::{
    contract::conversation::v1::{
        Channel, Conversation as WireConversation, ConversationStatus, Emotion, EmotionStatistics, Role,
        StoreMessageRequest,
    },
    wire::Timestamp,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::Code;
use uuid::Uuid;

use crate::dispatch::fixture::user_hash;

use super::{
    answering, batch, calling, kind, list, metadata, outcomes, plain, read, store, store_many, tool_call, written,
    wrong_fields,
};

fn texts(chat: &str, count: usize) -> Vec<StoreMessageRequest> {
    (1..=count).map(|n| plain(chat, &format!("message {n}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_stored_in_the_order_of_the_request_and_replayed_as_a_whole() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&service, plain(&chat, "first")).await;
    let messages = texts(&chat, 100);
    let results = store_many(&service, &chat, &messages).await.expect("stored");
    assert_eq!(outcomes(&results), (2..=101).map(|sequence| (sequence, false)).collect::<Vec<_>>());
    let listed = list(&service, &chat).await;
    let stored: Vec<_> = results.into_iter().map(|result| result.message.expect("the message")).collect();
    assert_eq!(listed[1..], stored[..]);
    assert!(stored.iter().zip(&messages).all(|(stored, given)| stored.content == given.content));

    let before = written(&service).await;
    let again = store_many(&service, &chat, &messages).await.expect("replayed");
    assert!(again.iter().all(|result| result.replayed));
    assert_eq!(again.into_iter().map(|result| result.message.expect("it")).collect::<Vec<_>>(), stored);
    assert_eq!(written(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_ones_are_replayed_and_the_others_appended_in_their_order() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let messages = texts(&chat, 6);
    store(&service, messages[4].clone()).await;
    store_many(&service, &chat, &messages[1..3]).await.expect("stored");
    let results = store_many(&service, &chat, &messages).await.expect("stored");
    assert_eq!(outcomes(&results), [(4, false), (2, true), (3, true), (5, false), (1, true), (6, false)]);
    assert_eq!(read(&service, &chat).await.message_count, 6);
    // What was stored together may be repeated alone.
    let alone = service.client.clone().store_message(messages[5].clone()).await.expect("replayed").into_inner();
    assert_eq!(outcomes(&[alone]), [(6, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_other_fields_is_named_and_nothing_is_written() {
    let service = Conversation::start().await.ready().await;
    let (chat, other) = (fixtures::conversation_id(), fixtures::conversation_id());
    let mut messages = texts(&chat, 5);
    store_many(&service, &chat, &messages[..3]).await.expect("stored");
    store(&service, StoreMessageRequest { message_id: messages[4].message_id.clone(), ..plain(&other, "message 5") })
        .await;
    messages[1].content = "something else".to_owned();
    let before = written(&service).await;
    let status = store_many(&service, &chat, &messages).await.expect_err("refused");
    assert_eq!(kind(&status), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()));
    let named = [messages[1].message_id.as_str(), &messages[4].message_id].join(",");
    assert_eq!(metadata(&status, "message_ids"), named);
    assert_eq!(written(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_and_its_result_may_come_together_or_one_after_the_other() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let messages = vec![plain(&chat, "A table?"), calling(&chat, "a"), answering(&chat, "a"), calling(&chat, "b")];
    store_many(&service, &chat, &messages[..2]).await.expect("stored");
    let results = store_many(&service, &chat, &messages).await.expect("stored");
    assert_eq!(outcomes(&results), [(1, true), (2, true), (3, false), (4, false)]);
    let before = written(&service).await;
    for (refused, reason, call_id) in [
        (calling(&chat, "b"), "TOOL_CALL_EXISTS", "b"),
        (answering(&chat, "a"), "TOOL_CALL_ANSWERED", "a"),
        (answering(&chat, "c"), "TOOL_CALL_NOT_FOUND", "c"),
    ] {
        let status = store_many(&service, &chat, &[plain(&chat, "Hello"), refused]).await.expect_err("refused");
        assert_eq!(kind(&status), (Code::FailedPrecondition, reason.to_owned()));
        assert_eq!(metadata(&status, "call_id"), call_id);
        assert_eq!(written(&service).await, before, "not even the first message is stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_a_request_is_reported_at_once() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut messages = texts(&chat, 4);
    messages[1].message_id = messages[0].message_id.clone();
    messages[2].conversation_id = fixtures::conversation_id();
    messages[3].conversation_id = String::new();
    messages[3].role = 0;
    messages.push(answering(&chat, "a"));
    messages.push(calling(&chat, "a"));
    messages.push(StoreMessageRequest { parts: vec![tool_call("b"), tool_call("b")], ..calling(&chat, "b") });
    let status = store_many(&service, &chat, &messages).await.expect_err("refused");
    assert_eq!(
        wrong_fields(&status),
        [
            "messages[1].message_id",
            "messages[2].conversation_id",
            "messages[3].role",
            "messages[5].parts[0].tool_call.call_id",
            "messages[6].parts[1].tool_call.call_id",
        ]
    );
    for wrong in [0, 101] {
        let status = store_many(&service, &chat, &texts(&chat, wrong)).await.expect_err("refused");
        assert_eq!(wrong_fields(&status), ["messages"]);
    }
    let large: Vec<_> = (0..65).map(|_| plain(&chat, &"x".repeat(32_500))).collect();
    assert_eq!(wrong_fields(&store_many(&service, &chat, &large).await.expect_err("refused")), ["messages"]);
    store_many(&service, &chat, &large[..64]).await.expect("2 MiB are stored, and answered");
}

/// Messages that change everything there is to change of a conversation.
fn eventful(chat: &str) -> Vec<StoreMessageRequest> {
    let at = |minutes: i64| {
        let time = Utc::now() - TimeDelta::minutes(minutes);
        Some(Timestamp { seconds: time.timestamp(), nanos: 0 })
    };
    let felt = |score, label: &str| Some(Emotion { score, label: label.to_owned(), detected: vec!["joy".to_owned()] });
    let assistant = Role::Assistant.into();
    vec![
        StoreMessageRequest { channel: Channel::Sms.into(), sent_at: at(9), ..plain(chat, "Hello") },
        StoreMessageRequest { emotion: felt(Some(0.25), "calm"), sent_at: at(3), ..plain(chat, "A table?") },
        StoreMessageRequest {
            user_id: "mina".to_owned(),
            emotion: felt(None, "joy"),
            sent_at: at(5),
            ..plain(chat, "Two")
        },
        StoreMessageRequest { role: assistant, emotion: felt(Some(0.75), ""), sent_at: at(1), ..plain(chat, "Yes") },
        StoreMessageRequest { user_id: "kenji".to_owned(), sent_at: at(7), ..plain(chat, "Thanks") },
    ]
}

/// What is the same in a conversation that was stored one by one, and in one that was stored at once.
fn comparable(conversation: WireConversation) -> WireConversation {
    let statistics = conversation.emotion_statistics.map(|found| EmotionStatistics { updated_at: None, ..found });
    WireConversation {
        conversation_id: String::new(),
        created_at: None,
        updated_at: None,
        emotion_statistics: statistics,
        ..conversation
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_the_same_whether_its_messages_came_together_or_alone() {
    let service = Conversation::start().await.ready().await;
    let (together, alone) = (fixtures::conversation_id(), fixtures::conversation_id());
    for round in 0..2 {
        let messages = eventful(&together);
        store_many(&service, &together, &messages).await.expect("stored");
        for message in messages {
            let message_id = Uuid::new_v4().to_string();
            store(&service, StoreMessageRequest { message_id, conversation_id: alone.clone(), ..message }).await;
        }
        harness::eventually("the emotions are counted", async || {
            service.scalar::<i64>("SELECT count(*) FROM emotion_pending").await == 0
        })
        .await;
        let (one, other) = (read(&service, &together).await, read(&service, &alone).await);
        assert!(one.emotion_statistics.as_ref().is_some_and(|found| found.newest_scored_sequence > 0));
        assert_eq!(comparable(one), comparable(other), "round {round}");
        let written = "SELECT count(DISTINCT customer_wrote_at) FROM conversations";
        assert_eq!(service.scalar::<i64>(written).await, 1);
        harness::execute(&service.url, "UPDATE conversations SET status = 'CLOSED', closed_at = now()").await;
    }
    let checks = "SELECT string_agg(encode(user_hash, 'hex'), ' ') FROM reengagement_checks";
    let mina = user_hash(&service, "mina").map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(service.scalar::<String>(checks).await, mina, "only the user that the conversation took is checked");
    store_many(&service, &together, &[plain(&together, "One more thing")]).await.expect("stored");
    assert_eq!(read(&service, &together).await.status(), ConversationStatus::Open);
    let mut client = service.client.clone();
    let status = client.store_messages(batch("", vec![plain("", "x")])).await.expect_err("no conversation");
    assert_eq!(wrong_fields(&status), ["conversation_id"]);
}
