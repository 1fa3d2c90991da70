//! Events that NATS refuses permanently.

use std::process::{Output, Stdio};

use async_nats::jetstream;
use teppan_shared::contract::conversation::v1::{
    DeadLetter, DeadLetterSelection, DiscardDeadLettersRequest, FollowUpTrigger, GetOutboxStatusRequest,
    ListDeadLettersRequest, OutboxDestination, RetryDeadLettersRequest, ScheduleFollowUpRequest,
    outbox_service_client::OutboxServiceClient,
};
use teppan_tests::{
    clients, fixtures,
    harness::{self, Conversation},
    launch,
};
use tokio::process::Command;
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use super::publishing;
use crate::{
    environment,
    outbox::{
        nats::{STREAM, published},
        nats_server::NatsServer,
    },
};

/// With its envelope and headers, an event with the longest subject exceeds this size; one without does not.
const PAYLOAD_BYTES_MAX: usize = 850;

const PENDING: &str = "SELECT count(*) FROM outbox_messages WHERE dead_at IS NULL";
const DEAD: &str = "SELECT count(*) FROM outbox_messages WHERE dead_at IS NOT NULL";

/// A service that publishes to a NATS server that accepts small events only, and an operator's client.
async fn service() -> (NatsServer, Conversation, OutboxServiceClient<Channel>) {
    // The request that creates the stream exceeds the limit too, so another server creates the stream.
    let nats = NatsServer::start().await;
    let maker = publishing(None, &nats.url()).await;
    schedule(&maker, &fixtures::conversation_id(), "").await;
    harness::eventually("the stream is there", async || maker.scalar::<i64>(PENDING).await == 0).await;
    maker.service.stop().await;
    let nats = NatsServer::limited(nats.kill().await, PAYLOAD_BYTES_MAX).await;
    let service = publishing(None, &nats.url()).await;
    let operator = clients::conversation_outbox(service.service.server.grpc_addr);
    (nats, service, operator)
}

/// Schedules a follow-up far in the future, which makes one event.
async fn schedule(service: &Conversation, chat: &str, subject: &str) {
    let request = ScheduleFollowUpRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        conversation_id: chat.to_owned(),
        trigger: FollowUpTrigger::Custom.into(),
        subject: subject.to_owned(),
        content: "Hello".to_owned(),
        due_at: Some(teppan_shared::wire::Timestamp { seconds: 4_102_444_800, nanos: 0 }),
        ..Default::default()
    };
    service.follow_ups.clone().schedule_follow_up(request).await.expect("scheduled");
}

/// Makes a dead letter in a new conversation, and a small event behind it.
async fn blocked(service: &Conversation) -> String {
    let chat = fixtures::conversation_id();
    let dead = service.scalar::<i64>(DEAD).await;
    schedule(service, &chat, &format!("{}:{}", "s".repeat(40), Uuid::now_v7())).await;
    harness::eventually("the event is a dead letter", async || service.scalar::<i64>(DEAD).await == dead + 1).await;
    schedule(service, &chat, "").await;
    chat
}

async fn list(operator: &OutboxServiceClient<Channel>, request: ListDeadLettersRequest) -> (Vec<DeadLetter>, String) {
    let page = operator.clone().list_dead_letters(request).await.expect("listed").into_inner();
    (page.dead_letters, page.next_page_token)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_becomes_a_dead_letter_and_only_its_conversation_waits() {
    let (nats, service, mut operator) = service().await;
    let chat = blocked(&service).await;
    let other = fixtures::conversation_id();
    schedule(&service, &other, "").await;
    let is_published =
        async |chat: &str| published(&nats.url()).await.iter().filter(|(_, _, event)| event["subject"] == chat).count();
    harness::eventually("the other conversation goes on", async || is_published(&other).await == 1).await;
    assert_eq!((service.scalar::<i64>(DEAD).await, service.scalar::<i64>(PENDING).await), (1, 1));

    let status = operator.get_outbox_status(GetOutboxStatusRequest {}).await.expect("read").into_inner();
    assert_eq!(status.destinations.len(), 1);
    let status = &status.destinations[0];
    assert_eq!(status.destination(), OutboxDestination::EventStream);
    assert_eq!((status.pending_count, status.leased_count, status.dead_letter_count), (1, 0, 1));
    assert!(status.oldest_pending_at.is_some() && status.last_delivered_at.is_some(), "{status:?}");

    let (dead, _) = list(&operator, ListDeadLettersRequest::default()).await;
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].conversation_id.as_str(), dead[0].attempts), (chat.as_str(), 1));
    assert_eq!(dead[0].event_type, "teppan.follow_up.scheduled.v1");
    assert_eq!(
        (dead[0].last_error_reason.as_str(), dead[0].destination()),
        ("MESSAGE_TOO_LARGE", OutboxDestination::EventStream)
    );

    // After a retry it becomes a dead letter again, with another id, and the event behind it still waits.
    let selection = Some(DeadLetterSelection {
        dead_letter_ids: vec![dead[0].dead_letter_id.clone()],
        all: false,
        ..Default::default()
    });
    let retry = RetryDeadLettersRequest { selection: selection.clone() };
    assert_eq!(operator.retry_dead_letters(retry.clone()).await.expect("retried").into_inner().retried, 1);
    harness::eventually("the event is a dead letter again", async || service.scalar::<i64>(DEAD).await == 1).await;
    assert_eq!(operator.retry_dead_letters(retry).await.expect("left alone").into_inner().retried, 0);
    let (again, _) = list(&operator, ListDeadLettersRequest::default()).await;
    assert_ne!(again[0].dead_letter_id, dead[0].dead_letter_id);
    assert_eq!((&again[0].event_id, again[0].attempts), (&dead[0].event_id, 1));
    assert_eq!(is_published(&chat).await, 0);

    let all = Some(DeadLetterSelection { all: true, conversation_id: chat.clone(), ..Default::default() });
    let discard = DiscardDeadLettersRequest { selection: all };
    let done = operator.discard_dead_letters(discard).await.expect("discarded").into_inner();
    assert_eq!((done.discarded, done.remaining), (1, 0));
    harness::eventually("what waited behind it is published", async || is_published(&chat).await == 1).await;
    assert_eq!((service.scalar::<i64>(DEAD).await, service.scalar::<i64>(PENDING).await), (0, 0));
    service.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_for_the_stream_becomes_a_dead_letter() {
    let nats = NatsServer::start().await;
    let service = publishing(None, &nats.url()).await;
    schedule(&service, &fixtures::conversation_id(), "").await;
    harness::eventually("the stream is there", async || service.scalar::<i64>(PENDING).await == 0).await;
    // An operator limits the message size of the stream; the server accepts larger ones.
    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("it answers"));
    let mut config = context.get_stream(STREAM).await.expect("the stream").cached_info().config.clone();
    config.max_message_size = i32::try_from(PAYLOAD_BYTES_MAX).expect("small");
    context.update_stream(&config).await.expect("updated");

    let chat = blocked(&service).await;
    let other = fixtures::conversation_id();
    schedule(&service, &other, "").await;
    harness::eventually("the other conversation goes on", async || service.scalar::<i64>(PENDING).await == 1).await;
    let operator = clients::conversation_outbox(service.service.server.grpc_addr);
    let (dead, _) = list(&operator, ListDeadLettersRequest::default()).await;
    let dead: Vec<_> = dead.iter().map(|it| (it.conversation_id.as_str(), it.last_error_reason.as_str())).collect();
    assert_eq!(dead, [(chat.as_str(), "MESSAGE_TOO_LARGE")]);
    service.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letters_of_conversations_are_listed_in_pages_and_settled_by_the_command() {
    let (_nats, service, operator) = service().await;
    let mut chats = Vec::new();
    for _ in 0..3 {
        chats.push(blocked(&service).await);
    }
    let (all, _) = list(&operator, ListDeadLettersRequest::default()).await;
    assert_eq!(all.iter().map(|dead| dead.conversation_id.clone()).collect::<Vec<_>>(), chats);
    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListDeadLettersRequest { page_size: 2, page_token: token, ..Default::default() };
        let (page, next) = list(&operator, request).await;
        paged.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all);
    let of_one = ListDeadLettersRequest { conversation_id: chats[1].clone(), ..Default::default() };
    assert_eq!(list(&operator, of_one).await.0, all[1..2]);
    let of_another = ListDeadLettersRequest { event_type: "teppan.follow_up.due.v1".to_owned(), ..Default::default() };
    assert!(list(&operator, of_another).await.0.is_empty());
    let bad = ListDeadLettersRequest { page_size: -1, conversation_id: "two words".to_owned(), ..Default::default() };
    let refused = operator.clone().list_dead_letters(bad).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("page_size") && refused.message().contains("conversation_id"));
    let nothing = RetryDeadLettersRequest { selection: None };
    assert_eq!(operator.clone().retry_dead_letters(nothing).await.expect_err("refused").code(), Code::InvalidArgument);

    let table = command(&service, &["list"]).await;
    assert_eq!(table.lines().count(), 4, "{table}");
    let json = command(&service, &["list", "--output", "json", "--conversation", &chats[2]]).await;
    let shown: serde_json::Value = serde_json::from_str(json.trim()).expect("one line of JSON");
    assert_eq!(shown["dead_letter_id"], all[2].dead_letter_id);
    assert_eq!(
        (&shown["conversation_id"], &shown["last_error_reason"]),
        (&chats[2].clone().into(), &"MESSAGE_TOO_LARGE".into())
    );
    let printed = command(&service, &["discard", &all[0].dead_letter_id]).await;
    assert_eq!(printed, "1 dead letters were discarded.\n");
    let gone = run(&service, &["retry", &all[0].dead_letter_id]).await;
    assert_eq!(gone.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&gone.stderr).contains(&all[0].dead_letter_id));
    let printed = command(&service, &["discard", "--all"]).await;
    assert_eq!(printed, "2 dead letters were discarded.\n");
    harness::eventually("what waited behind them is published", async || service.scalar::<i64>(PENDING).await == 0)
        .await;
    service.service.stop().await;
}

/// The stdout of a `conversation-service dead-letters` command that succeeds.
async fn command(service: &Conversation, arguments: &[&str]) -> String {
    let output = run(service, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

async fn run(service: &Conversation, arguments: &[&str]) -> Output {
    Command::new(launch::binary("conversation-service"))
        .arg("dead-letters")
        .args(arguments)
        .envs(environment::with_keys(&service.url))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary is built: cargo build --workspace --bins")
}
