use teppan_shared::contract::conversation::v1::{Part, Role, StoreMessageRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::Code;

use super::{
    answering, attachment, calling, kind, list, metadata, of_parts, plain, read, store, text, tool_call, tool_result,
    written, wrong_fields,
};

type Change = fn(&mut StoreMessageRequest);

async fn refused(service: &Conversation, request: StoreMessageRequest) -> tonic::Status {
    service.client.clone().store_message(request).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_every_kind_are_answered_and_listed_as_they_were_stored() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let said = StoreMessageRequest {
        content: "One moment, please.".to_owned(),
        ..of_parts(&chat, Role::Assistant, vec![text("Looking."), tool_call("a"), tool_call("b")])
    };
    let answered = of_parts(&chat, Role::Tool, vec![tool_result("b", ""), tool_result("a", "6 seats")]);
    let sent = of_parts(&chat, Role::User, vec![attachment("https://files.example.org/menu.pdf")]);
    let mut stored = Vec::new();
    for request in [plain(&chat, "Is there a table?"), said, answered, sent] {
        let message = store(&service, request.clone()).await;
        assert_eq!((&message.content, &message.parts), (&request.content, &request.parts));
        stored.push(message);
    }
    assert_eq!(list(&service, &chat).await, stored);
    assert_eq!(read(&service, &chat).await.message_count, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_parts_is_replayed_and_with_other_parts_refused() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let request = of_parts(&chat, Role::Assistant, vec![text("Looking."), tool_call("a")]);
    let stored = store(&service, request.clone()).await;
    let again = service.client.clone().store_message(request.clone()).await.expect("replayed").into_inner();
    assert_eq!((again.replayed, again.message), (true, Some(stored)));
    let changes: [(&str, Change); 4] = [
        ("another text", |m| m.parts[0] = text("Searching.")),
        ("another call", |m| m.parts[1] = tool_call("b")),
        ("another order", |m| m.parts.reverse()),
        ("no parts", |m| (m.content, m.parts) = ("Looking.".to_owned(), Vec::new())),
    ];
    for (what, change) in changes {
        let mut other = request.clone();
        change(&mut other);
        let status = refused(&service, other).await;
        assert_eq!(kind(&status), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_answers_a_call_of_its_conversation_once() {
    let service = Conversation::start().await.ready().await;
    let (chat, other) = (fixtures::conversation_id(), fixtures::conversation_id());
    store(&service, calling(&chat, "a")).await;
    store(&service, calling(&other, "b")).await;
    let before = written(&service).await;
    for (request, reason, call_id) in
        [(calling(&chat, "a"), "TOOL_CALL_EXISTS", "a"), (answering(&chat, "b"), "TOOL_CALL_NOT_FOUND", "b")]
    {
        let status = refused(&service, request).await;
        assert_eq!(kind(&status), (Code::FailedPrecondition, reason.to_owned()));
        assert_eq!(metadata(&status, "call_id"), call_id);
    }
    assert_eq!(written(&service).await, before, "a refusal writes nothing");

    let answer = answering(&chat, "a");
    let stored = store(&service, answer.clone()).await;
    assert_eq!(store(&service, answer).await, stored, "the same result is replayed");
    let status = refused(&service, answering(&chat, "a")).await;
    assert_eq!(kind(&status), (Code::FailedPrecondition, "TOOL_CALL_ANSWERED".to_owned()));
    // An id belongs to its conversation.
    store(&service, calling(&other, "a")).await;
    store(&service, answering(&other, "a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_results_one_answers_the_call() {
    let service = Conversation::start().await.ready().await;
    let second = Conversation::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    for n in 0..5 {
        let call_id = format!("call-{n}");
        let calls = (0..12).map(|client| {
            let mut client = if client % 2 == 0 { service.client.clone() } else { second.client.clone() };
            let request = calling(&chat, &call_id);
            async move { client.store_message(request).await }
        });
        let answers = futures::future::join_all(calls).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "a call id is used once");
        let results = (0..12).map(|client| {
            let mut client = if client % 2 == 0 { service.client.clone() } else { second.client.clone() };
            let request = answering(&chat, &call_id);
            async move { client.store_message(request).await }
        });
        let answers = futures::future::join_all(results).await;
        let refusals: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).map(kind).collect();
        let answered = (Code::FailedPrecondition, "TOOL_CALL_ANSWERED".to_owned());
        assert_eq!(refusals, vec![answered; 11]);
    }
    assert_eq!(read(&service, &chat).await.message_count, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_part_is_reported_with_its_path() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let nameless = || {
        let mut call = tool_call("a");
        if let Some(super::part::Part::ToolCall(call)) = &mut call.part {
            call.name = "no spaces".to_owned();
            call.arguments.as_mut().expect("arguments").fields.insert("x".to_owned(), prost_types::Value::default());
        }
        call
    };
    let request = StoreMessageRequest {
        channel: 0,
        ..of_parts(
            &chat,
            Role::User,
            vec![
                text(""),
                Part::default(),
                nameless(),
                tool_call("a"),
                attachment("data:text/plain,x"),
                tool_result("a", &"x".repeat(262_145)),
                tool_result("b", "fine, but not by the customer"),
            ],
        )
    };
    assert_eq!(
        wrong_fields(&refused(&service, request).await),
        [
            "parts[0].text",
            "parts[1]",
            "parts[2].tool_call.name",
            "parts[2].tool_call.arguments.fields[\"x\"]",
            "parts[3].tool_call.call_id",
            "parts[4].attachment.uri",
            "parts[5].tool_result.content",
            "parts[6].tool_result",
            "channel",
        ]
    );
    let too_many = of_parts(&chat, Role::User, vec![text("x"); 65]);
    assert_eq!(wrong_fields(&refused(&service, too_many).await), ["parts"]);
    let too_large = of_parts(&chat, Role::User, vec![text(&"x".repeat(32_768)); 11]);
    assert_eq!(wrong_fields(&refused(&service, too_large).await), ["parts"]);
    assert_eq!(wrong_fields(&refused(&service, plain(&chat, "")).await), ["content"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_is_stored_and_a_page_of_such_messages_is_small_enough() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for n in 0..8 {
        let call_id = format!("call-{n}");
        store(&service, calling(&chat, &call_id)).await;
        let mut largest = answering(&chat, &call_id);
        largest.content = "x".repeat(32_768);
        largest.parts =
            vec![tool_result(&call_id, &"x".repeat(262_144)), text(&"x".repeat(32_768)), text(&"x".repeat(32_000))];
        largest.metadata = Some(prost_types::Struct {
            fields: [(
                "long".to_owned(),
                prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".repeat(16_000))) },
            )]
            .into(),
        });
        store(&service, largest).await;
    }
    // The client's own limit, 4 MiB, would fail the call.
    assert_eq!(list(&service, &chat).await.len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_sealed_at_rest_and_what_was_altered_does_not_open() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(
        &service,
        of_parts(&chat, Role::User, vec![text("I am Mina Sato."), attachment("https://sato.example.org/a")]),
    )
    .await;
    let everything: String =
        service.scalar("SELECT string_agg(m::text || encode(m.parts_sealed, 'escape'), '') FROM messages AS m").await;
    for secret in ["Mina", "sato.example.org", "menu.pdf"] {
        assert!(!everything.contains(secret), "{secret} is stored in clear");
    }
    harness::execute(&service.url, "UPDATE messages SET parts_sealed = content_sealed").await;
    let request =
        teppan_shared::contract::conversation::v1::ListMessagesRequest { conversation_id: chat, ..Default::default() };
    let status = service.client.clone().list_messages(request).await.expect_err("unreadable");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
}
