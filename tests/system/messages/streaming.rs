//! StreamMessages: from a sequence on, then live.

use std::time::Duration;

use futures::future::join_all;
use strum::VariantArray as _;
use teppan_shared::{
    contract::conversation::v1::{Message, StreamMessagesRequest, StreamMessagesResponse},
    identity::Role,
    keys::Keys,
};
use teppan_tests::{
    callers::{Callers, with_token},
    fixtures,
    harness::{self, Conversation},
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::{deletion::delete, kind, list, plain, store, store_many, wrong_fields};

/// The share of one connection in the default of MAX_STREAMS.
const STREAMS_MAX: usize = 50;

async fn open(service: &Conversation, chat: &str, after: i64) -> Result<Streaming<StreamMessagesResponse>, Status> {
    let request = StreamMessagesRequest { conversation_id: chat.to_owned(), after_sequence: after };
    Ok(service.client.clone().stream_messages(request).await?.into_inner())
}

/// The next response, which must come soon.
async fn next(stream: &mut Streaming<StreamMessagesResponse>) -> Result<StreamMessagesResponse, Status> {
    let next = timeout(Duration::from_secs(30), stream.message()).await.expect("in time");
    next.map(|response| response.expect("a stream ends with an error only"))
}

/// The next messages, as many as wanted.
async fn messages(stream: &mut Streaming<StreamMessagesResponse>, wanted: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < wanted {
        let response = next(stream).await.expect("a response");
        if let Some(message) = response.message {
            assert_eq!(response.through_sequence, message.sequence);
            messages.push(message);
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sends_what_is_stored_and_then_what_every_replica_stores() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    let old: Vec<_> = (0..250).map(|n| plain(&chat, &format!("message {n}"))).collect();
    for part in old.chunks(100) {
        store_many(&first, &chat, part).await.expect("stored");
    }
    let mut whole = open(&first, &chat, 0).await.expect("a stream");
    let mut rest = open(&second, &chat, 248).await.expect("a stream");
    let mut seen = messages(&mut whole, 250).await;
    let mut newest = messages(&mut rest, 2).await;
    let caught_up = next(&mut whole).await.expect("a response");
    assert_eq!((caught_up.message, caught_up.through_sequence), (None, 250));
    for n in 0..20 {
        let service = if n % 2 == 0 { &first } else { &second };
        store(service, plain(&chat, &format!("new {n}"))).await;
    }
    seen.extend(messages(&mut whole, 20).await);
    newest.extend(messages(&mut rest, 20).await);
    let stored = list(&first, &chat).await;
    assert_eq!(seen, stored);
    assert_eq!(newest, stored[248..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_followers_of_many_conversations_miss_nothing_that_many_writers_store() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chats: Vec<_> = (0..6).map(|_| fixtures::conversation_id()).collect();
    for chat in &chats {
        store(&first, plain(chat, "Hello")).await;
    }
    let followers = join_all((0..30).map(|n| {
        let (service, chat) = (if n % 2 == 0 { &first } else { &second }, &chats[n % chats.len()]);
        async move {
            let mut stream = open(service, chat, 0).await.expect("a stream");
            messages(&mut stream, 41).await.into_iter().map(|message| message.sequence).collect::<Vec<_>>()
        }
    }));
    let writers = join_all((0..24).map(|n| {
        let (service, chat) = (if n % 3 == 0 { &first } else { &second }, &chats[n % chats.len()]);
        async move {
            for n in 0..10 {
                store(service, plain(chat, &format!("message {n}"))).await;
            }
        }
    }));
    let (seen, _) = tokio::join!(followers, writers);
    assert!(seen.iter().all(|seen| *seen == (1..=41).collect::<Vec<_>>()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_conversation_is_deleted_even_if_it_is_begun_anew_at_once() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    for is_begun_anew in [false, true] {
        let chat = fixtures::conversation_id();
        store(&first, plain(&chat, "Hello")).await;
        let mut streams = Vec::new();
        for service in [&first, &second] {
            let mut stream = open(service, &chat, 0).await.expect("a stream");
            messages(&mut stream, 1).await;
            assert!(next(&mut stream).await.expect("a response").message.is_none());
            streams.push(stream);
        }
        delete(&first, &chat).await;
        if is_begun_anew {
            let new: Vec<_> = (0..5).map(|n| plain(&chat, &format!("{n}"))).collect();
            store_many(&first, &chat, &new).await.expect("stored");
        }
        for mut stream in streams {
            let ended = next(&mut stream).await.expect_err("it ends");
            assert_eq!(kind(&ended), (Code::NotFound, "CONVERSATION_NOT_FOUND".to_owned()));
        }
        if is_begun_anew {
            let mut again = open(&second, &chat, 0).await.expect("a stream");
            assert_eq!(messages(&mut again, 5).await.len(), 5);
            assert!(next(&mut again).await.expect("a response").message.is_none());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_continues_on_another_replica_and_after_a_message_that_cannot_be_read() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    for n in 0..4 {
        store(&first, plain(&chat, &format!("message {n}"))).await;
    }
    harness::execute(&first.url, "UPDATE messages SET content_sealed = 'x' WHERE sequence = 3").await;
    let mut stream = open(&first, &chat, 0).await.expect("a stream");
    messages(&mut stream, 2).await;
    let ended = next(&mut stream).await.expect_err("it ends");
    assert_eq!(kind(&ended), (Code::Internal, "DATA_CORRUPTED".to_owned()));
    assert_eq!(super::metadata(&ended, "sequence"), "3");
    let mut stream = open(&first, &chat, 3).await.expect("a stream");
    messages(&mut stream, 1).await;
    first.service.stop().await;
    let ended = loop {
        if let Err(status) = next(&mut stream).await {
            break status;
        }
    };
    assert_eq!(kind(&ended), (Code::Unavailable, "DRAINING".to_owned()));
    store(&second, plain(&chat, "new")).await;
    assert_eq!(messages(&mut open(&second, &chat, 4).await.expect("a stream"), 1).await[0].content, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_not_there_or_too_much_is_refused() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&service, plain(&chat, "Hello")).await;
    assert_eq!(wrong_fields(&open(&service, "", -1).await.expect_err("wrong")), ["conversation_id", "after_sequence"]);
    assert_eq!(wrong_fields(&open(&service, &chat, 2).await.expect_err("ahead")), ["after_sequence"]);
    let unknown = open(&service, &fixtures::conversation_id(), 0).await.expect_err("unknown");
    assert_eq!(kind(&unknown), (Code::NotFound, "CONVERSATION_NOT_FOUND".to_owned()));
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(open(&service, &chat, 1).await.expect("a stream"));
    }
    let refused = open(&service, &chat, 1).await.expect_err("too many");
    assert_eq!(kind(&refused), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
    drop(streams);
    harness::eventually("they are closed", async || open(&service, &chat, 1).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_read_messages_may_follow_them() {
    let callers = Callers::default();
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut common = harness::settings(url.clone(), &keys);
    callers.guard(&mut common);
    let service = Conversation::with(common, url, keys).await.ready().await;
    let mut client = service.client.clone();
    let said = plain(&fixtures::conversation_id(), "Hello");
    let request = StreamMessagesRequest { conversation_id: said.conversation_id.clone(), after_sequence: 0 };
    client.store_message(with_token(callers.token(Role::Orchestrator), said)).await.expect("stored");
    for &role in Role::VARIANTS {
        let opened = client.stream_messages(with_token(callers.token(role), request.clone())).await;
        assert_eq!(opened.is_ok(), [Role::Orchestrator, Role::Privacy].contains(&role), "{role:?}");
    }
}
