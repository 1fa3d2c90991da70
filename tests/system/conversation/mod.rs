mod lists;
mod metadata;

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use teppan_shared::contract::conversation::v1::{
    Channel, Conversation as WireConversation, ConversationStatus, DeleteConversationRequest, Emotion, FollowUpTrigger,
    GetConversationRequest, ListMessagesRequest, Message, ScheduleFollowUpRequest, StoreMessageRequest,
};
use teppan_shared::conversation_id::ConversationId;
use teppan_shared::wire::Timestamp;
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::Code;
use tonic_types::StatusExt as _;

use self::lists::messages;

type Change = fn(&mut StoreMessageRequest);

async fn store(service: &Conversation, request: StoreMessageRequest) -> Message {
    let answer = service.client.clone().store_message(request).await.expect("stored");
    answer.into_inner().message.expect("the message")
}

async fn read(service: &Conversation, id: &str) -> WireConversation {
    let request = GetConversationRequest { conversation_id: id.to_owned() };
    let answer = service.client.clone().get_conversation(request).await.expect("read");
    answer.into_inner().conversation.expect("the conversation")
}

#[tokio::test(flavor = "multi_thread")]
async fn message_sequences_have_no_gaps_under_32_concurrent_writers() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    let writers = (0..32).map(|writer| {
        let mut client = if writer % 2 == 0 { first.client.clone() } else { second.client.clone() };
        let chat = chat.clone();
        async move {
            for n in 0..8 {
                let message = fixtures::message(&chat, &format!("writer {writer}, message {n}"));
                client.store_message(message).await.expect("stored");
            }
        }
    });
    join_all(writers).await;

    let listed =
        messages(&first, ListMessagesRequest { conversation_id: chat.clone(), page_size: 100, ..Default::default() })
            .await;
    let sequences: Vec<_> = listed.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, (1..=256).collect::<Vec<_>>());
    assert_eq!(read(&second, &chat).await.message_count, 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_of_a_message_store_it_once_and_get_equal_replies() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for n in 1..=5 {
        let message = fixtures::message(&chat, "Is there a table?");
        let duplicates = (0..16).map(|_| {
            let (mut client, message) = (service.client.clone(), message.clone());
            async move { client.store_message(message).await.expect("answered").into_inner() }
        });
        let replies = join_all(duplicates).await;
        assert_eq!(replies.iter().filter(|reply| !reply.replayed).count(), 1);
        assert!(replies.iter().all(|reply| reply.message == replies[0].message));
        assert_eq!(replies[0].message.as_ref().expect("the message").sequence, n);
    }
    assert_eq!(read(&service, &chat).await.message_count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_with_other_content_is_refused() {
    let service = Conversation::start().await.ready().await;
    let message = fixtures::message(&fixtures::conversation_id(), "Is there a table?");
    store(&service, message.clone()).await;
    let changes: [(&str, Change); 4] = [
        ("content", |m| m.content = "Is there a room?".to_owned()),
        ("conversation", |m| m.conversation_id = fixtures::conversation_id()),
        ("emotion", |m| m.emotion = None),
        ("channel", |m| m.channel = Channel::Email.into()),
    ];
    for (what, change) in changes {
        let mut other = message.clone();
        change(&mut other);
        let status = service.client.clone().store_message(other).await.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}");
        assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "IDEMPOTENCY_KEY_REUSED", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reply_equals_the_request_and_a_score_of_zero_is_kept() {
    let service = Conversation::start().await.ready().await;
    let mut request = fixtures::message(&fixtures::conversation_id(), "My call was not answered!");
    request.emotion = Some(Emotion { score: Some(0.0), label: "angry".to_owned(), detected: vec!["anger".to_owned()] });
    request.input_tokens = Some(0);
    request.metadata = Some(prost_types::Struct {
        fields: [("page".to_owned(), prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(2.5)) })]
            .into(),
    });
    let stored = store(&service, request.clone()).await;
    assert_eq!(stored.emotion, request.emotion);
    assert_eq!((stored.input_tokens, stored.output_tokens), (Some(0), None));
    assert_eq!(stored.metadata, request.metadata);
    let list = ListMessagesRequest { conversation_id: request.conversation_id, ..Default::default() };
    assert_eq!(messages(&service, list).await, [stored]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_keeps_its_first_user_id() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for (given, kept) in [("", ""), ("mina", "mina"), ("kenji", "mina"), ("", "mina")] {
        let request = StoreMessageRequest { user_id: given.to_owned(), ..fixtures::message(&chat, "Hello") };
        store(&service, request).await;
        assert_eq!(read(&service, &chat).await.user_id, kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reopens_a_closed_conversation_but_not_an_escalated_one() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&service, fixtures::message(&chat, "Hello")).await;
    harness::execute(&service.url, "UPDATE conversations SET status = 'CLOSED', closed_at = now()").await;
    assert_eq!(read(&service, &chat).await.status(), ConversationStatus::Closed);
    store(&service, fixtures::message(&chat, "One more thing")).await;
    assert_eq!(read(&service, &chat).await.status(), ConversationStatus::Open);
    assert!(read(&service, &chat).await.closed_at.is_none());

    harness::execute(&service.url, "UPDATE conversations SET status = 'ESCALATED'").await;
    store(&service, fixtures::message(&chat, "Are you there?")).await;
    let escalated = read(&service, &chat).await;
    assert_eq!((escalated.status(), escalated.message_count), (ConversationStatus::Escalated, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_the_last_message_never_goes_back() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let at = |minutes: i64| {
        let time = Utc::now() - TimeDelta::minutes(minutes);
        Some(Timestamp { seconds: time.timestamp(), nanos: 0 })
    };
    let newest = at(1);
    for sent_at in [at(10), newest, at(60)] {
        store(&service, StoreMessageRequest { sent_at, ..fixtures::message(&chat, "Hello") }).await;
    }
    assert_eq!(read(&service, &chat).await.last_message_at, newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_metadata_of_a_message_are_stored_encrypted() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut message = fixtures::message(&chat, "My name is Mina Sato.");
    message.metadata = Some(prost_types::Struct {
        fields: [(
            "email".to_owned(),
            prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("mina@example.org".to_owned())) },
        )]
        .into(),
    });
    store(&service, message).await;
    let everything: String = service
        .scalar(
            "SELECT string_agg(t::text || encode(t.content_sealed, 'escape') || encode(t.metadata_sealed, 'escape'), '')
                 || (SELECT string_agg(c::text, '') FROM conversations c) FROM messages t",
        )
        .await;
    assert!(everything.contains(&chat), "the dump contains the stored rows");
    for secret in ["Mina", "mina@example.org"] {
        assert!(!everything.contains(secret), "{secret} is stored unencrypted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_200_characters_and_every_mark_of_a_uri_is_stored_listed_and_deleted() {
    let service = Conversation::start().await.ready().await;
    let marks = "whatsapp:+4930123456-._~:/?#[]@!$&'()*+,;=%";
    let chat = format!("{marks:x<200}");
    store(&service, fixtures::message(&chat, "Is there a table?")).await;
    let follow_up = ScheduleFollowUpRequest {
        idempotency_key: "a key".to_owned(),
        conversation_id: chat.clone(),
        trigger: FollowUpTrigger::Custom.into(),
        content: "Was it good?".to_owned(),
        due_at: Some(teppan_shared::wire::timestamp(Utc::now() + TimeDelta::hours(1))),
        time_zone: "Europe/Berlin".to_owned(),
        ..ScheduleFollowUpRequest::default()
    };
    let mut follow_ups = service.follow_ups.clone();
    follow_ups.schedule_follow_up(follow_up).await.expect("scheduled");
    let list = ListMessagesRequest { conversation_id: chat.clone(), ..Default::default() };
    assert_eq!(messages(&service, list).await[0].conversation_id, chat);
    let delete = DeleteConversationRequest { conversation_id: chat };
    let deleted = service.client.clone().delete_conversation(delete).await.expect("deleted").into_inner();
    assert_eq!((deleted.messages_deleted, deleted.follow_ups_deleted), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_allows_the_same_characters_in_ids_of_conversations_as_the_contract() {
    let service = Conversation::start().await.ready().await;
    // The characters that both constraints allow.
    let allowed: String = service
        .scalar(
            "WITH forms AS (
                 SELECT replace(substring(pg_get_constraintdef(oid) FROM '\\[.*\\]'), '''''', '''') AS forbidden
                 FROM pg_constraint WHERE conname IN ('conversation_id_form', 'follow_up_conversation_id_form')
             )
             SELECT string_agg(chr(n), '' ORDER BY n)
             FROM generate_series(1, 300) n
             WHERE (SELECT count(*) FROM forms) = 2
               AND NOT EXISTS (SELECT FROM forms WHERE chr(n) COLLATE \"C\" ~ forbidden)",
        )
        .await;
    let parsed = (1..=300).filter_map(char::from_u32).filter(|c| ConversationId::parse(c.to_string()).is_ok());
    assert_eq!(allowed, parsed.collect::<String>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_message_is_reported_at_once() {
    let service = Conversation::start().await.ready().await;
    let ahead = Utc::now() + TimeDelta::minutes(6);
    let request = StoreMessageRequest {
        conversation_id: "no spaces".to_owned(),
        message_id: "x".to_owned(),
        role: 99,
        content: String::new(),
        channel: 0,
        user_id: "x".repeat(101),
        emotion: Some(Emotion {
            score: Some(f64::NAN),
            label: "x".repeat(21),
            detected: (0..11).map(|n| n.to_string()).collect(),
        }),
        metadata: Some(prost_types::Struct {
            fields: [(
                "long".to_owned(),
                prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".repeat(17_000))) },
            )]
            .into(),
        }),
        sent_at: Some(Timestamp { seconds: ahead.timestamp(), nanos: 0 }),
        input_tokens: Some(-1),
        output_tokens: Some(-1),
        parts: Vec::new(),
    };
    let status = service.client.clone().store_message(request).await.expect_err("wrong");
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    let mut fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "channel",
            "content",
            "conversation_id",
            "emotion.detected",
            "emotion.label",
            "emotion.score",
            "input_tokens",
            "message_id",
            "metadata",
            "output_tokens",
            "role",
            "sent_at",
            "user_id",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_conversation_is_not_found() {
    let service = Conversation::start().await.ready().await;
    let request = GetConversationRequest { conversation_id: fixtures::conversation_id() };
    let status = service.client.clone().get_conversation(request).await.expect_err("no such conversation");
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "CONVERSATION_NOT_FOUND");
}
