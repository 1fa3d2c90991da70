use teppan_shared::contract::conversation::v1::{
    ContextOmissionReason, GetContextWindowRequest, GetContextWindowResponse, Role, StoreMessageRequest,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};

use super::{answering, calling, kind, list, plain, store, store_many, summary, text, wrong_fields};

fn request(chat: &str, max_messages: i32, max_tokens: i32) -> GetContextWindowRequest {
    GetContextWindowRequest { conversation_id: chat.to_owned(), max_messages, max_tokens }
}

async fn window(service: &Conversation, request: GetContextWindowRequest) -> Result<GetContextWindowResponse, Status> {
    Ok(service.client.clone().get_context_window(request).await?.into_inner())
}

fn sequences(window: &GetContextWindowResponse) -> Vec<i64> {
    window.messages.iter().map(|message| message.sequence).collect()
}

fn omitted(window: &GetContextWindowResponse) -> Vec<(i64, ContextOmissionReason)> {
    window.omitted.iter().map(|omission| (omission.sequence, omission.reason())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_has_the_summary_the_system_messages_and_the_newest_messages_that_fit() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let system = StoreMessageRequest { role: Role::System.into(), input_tokens: Some(30), ..plain(&chat, "Be kind.") };
    let mut messages = vec![system];
    messages.extend((0..80).map(|n| StoreMessageRequest { input_tokens: Some(10), ..plain(&chat, &format!("{n}")) }));
    store_many(&service, &chat, &messages).await.expect("stored");
    let listed = list(&service, &chat).await;

    let first = window(&service, request(&chat, 0, 0)).await.expect("read");
    assert_eq!(sequences(&first), [1].into_iter().chain(62..=81).collect::<Vec<_>>());
    assert_eq!((first.total_tokens, first.tokens_estimated, first.truncated), (230, false, true));
    assert_eq!((first.message_count, &first.summary, first.omitted.len()), (81, &None, 0));
    assert_eq!(first.messages[0], listed[0]);
    assert_eq!(first.messages[1..], listed[61..]);

    let set = service.client.clone().set_summary(summary(&chat, 60, "They want a table.")).await.expect("set");
    let second = window(&service, request(&chat, 200, 69)).await.expect("read");
    // The summary has 18 bytes: 5 tokens.
    assert_eq!((sequences(&second), second.total_tokens), (vec![1, 79, 80, 81], 65));
    assert!(second.tokens_estimated && !second.system_messages_truncated);
    assert_eq!(second.summary, set.into_inner().summary);
    let tight = window(&service, request(&chat, 200, 1)).await.expect("read");
    assert_eq!((sequences(&tight), tight.total_tokens, tight.truncated), (vec![1], 35, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_with_their_results_and_what_is_unpaired_or_redacted_is_named() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let messages = vec![
        plain(&chat, "A table?"),
        calling(&chat, "a"),
        answering(&chat, "a"),
        calling(&chat, "b"),
        plain(&chat, "Hello?"),
        calling(&chat, "c"),
        answering(&chat, "c"),
    ];
    store_many(&service, &chat, &messages).await.expect("stored");
    let open = window(&service, request(&chat, 0, 0)).await.expect("read");
    assert_eq!(sequences(&open), [1, 2, 3, 5, 6, 7]);
    assert_eq!(omitted(&open), [(4, ContextOmissionReason::Unpaired)]);
    assert!(!open.truncated && open.tokens_estimated);

    store(&service, answering(&chat, "b")).await;
    let answered = window(&service, request(&chat, 0, 0)).await.expect("read");
    assert_eq!((sequences(&answered), answered.omitted.len()), ((1..=8).collect(), 0));
    // The result is the newest message, its call is cut off: neither is there.
    let cut = window(&service, request(&chat, 3, 0)).await.expect("read");
    assert_eq!((sequences(&cut), omitted(&cut)), (vec![5, 6, 7], vec![(8, ContextOmissionReason::Unpaired)]));
    assert!(cut.truncated);

    let redact = teppan_shared::contract::conversation::v1::RedactMessageRequest {
        conversation_id: chat.clone(),
        message_id: messages[5].message_id.clone(),
    };
    service.client.clone().redact_message(redact).await.expect("redacted");
    let redacted = window(&service, request(&chat, 0, 0)).await.expect("read");
    assert_eq!(sequences(&redacted), [1, 2, 3, 4, 5, 8]);
    let named = [(6, ContextOmissionReason::Redacted), (7, ContextOmissionReason::Unpaired)];
    assert_eq!(omitted(&redacted), named);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_the_largest_messages_is_what_clients_accept() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let parts = || vec![text(&"x".repeat(32_000)); 10];
    for n in 0..16 {
        let role = if n % 2 == 0 { Role::System } else { Role::User };
        let message = StoreMessageRequest { role: role.into(), parts: parts(), ..plain(&chat, &"x".repeat(32_000)) };
        store(&service, message).await;
    }
    // The client's own limit, 4 MiB, would fail the call.
    let chosen = window(&service, request(&chat, 200, 0)).await.expect("read");
    assert_eq!(sequences(&chosen), [12, 13, 14, 15, 16]);
    assert!(chosen.truncated && chosen.system_messages_truncated);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_not_there_or_unreadable_is_said() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let status = window(&service, request("no spaces", 201, -1)).await.expect_err("wrong");
    assert_eq!(wrong_fields(&status), ["conversation_id", "max_messages", "max_tokens"]);
    let status = window(&service, request(&chat, 0, 0)).await.expect_err("not there");
    assert_eq!(kind(&status), (Code::NotFound, "CONVERSATION_NOT_FOUND".to_owned()));
    store(&service, plain(&chat, "Hello")).await;
    harness::execute(&service.url, "UPDATE messages SET content_sealed = 'x'").await;
    let status = window(&service, request(&chat, 0, 0)).await.expect_err("unreadable");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
}
