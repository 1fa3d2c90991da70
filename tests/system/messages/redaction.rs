use futures::future::join_all;
use secrecy::SecretString;
use serde_json::Value;
use teppan_shared::{
    contract::conversation::v1::{
        Emotion, ListFollowUpsRequest, Message, RedactMessageRequest, Role as WireRole, StoreMessageRequest,
    },
    identity::Role,
    keys::Keys,
    nats::NatsSettings,
};
use teppan_tests::{
    callers::{Callers, with_token},
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{answering, calling, kind, list, of_parts, plain, read, store, store_many, summary, text, wrong_fields};
use crate::dispatch::fixture::{self, claim_one, completion};

fn request(message: &Message) -> RedactMessageRequest {
    RedactMessageRequest { conversation_id: message.conversation_id.clone(), message_id: message.message_id.clone() }
}

async fn redact(service: &Conversation, message: &Message) -> Result<Message, Status> {
    let answer = service.client.clone().redact_message(request(message)).await?;
    Ok(answer.into_inner().message.expect("the message"))
}

/// What is left of a message.
fn rest(message: &Message) -> Message {
    Message { content: String::new(), parts: Vec::new(), metadata: None, ..message.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_parts_and_metadata_are_gone_and_the_position_and_the_figures_stay() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let emotion = Some(Emotion { score: Some(0.25), label: "calm".to_owned(), detected: vec!["joy".to_owned()] });
    let said = StoreMessageRequest {
        emotion,
        output_tokens: Some(7),
        parts: vec![text("My name is Mina.")],
        metadata: Some(prost_types::Struct::default()),
        ..plain(&chat, "I am Mina Sato.")
    };
    store(&service, plain(&chat, "Hello")).await;
    let stored = store(&service, said.clone()).await;
    store(&service, plain(&chat, "Thanks")).await;
    let counted = async || read(&service, &chat).await.emotion_statistics;
    harness::eventually("the emotion is counted", async || counted().await.is_some_and(|it| it.score_count == 1)).await;
    let before = counted().await;

    let redacted = redact(&service, &stored).await.expect("redacted");
    assert!(redacted.redacted_at.is_some() && redacted.redacted_by.is_empty(), "callers need no credentials here");
    assert_eq!(Message { redacted_at: None, ..redacted.clone() }, rest(&stored));
    assert_eq!(list(&service, &chat).await[1], redacted);
    assert_eq!(counted().await, before);
    let kept: i64 = service
        .scalar(
            "SELECT count(*) FROM messages WHERE redacted_at IS NOT NULL
             AND num_nulls(content_sealed, parts_sealed, metadata_sealed, fingerprint) = 4",
        )
        .await;
    assert_eq!(kept, 1);

    // Again, and by others at once: the first redaction stays.
    let again = join_all((0..8).map(|_| redact(&service, &stored))).await;
    assert!(again.into_iter().all(|again| again.expect("redacted") == redacted));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_repeated_call_brings_a_redacted_message_back() {
    let service = Conversation::start().await.ready().await;
    let (chat, other) = (fixtures::conversation_id(), fixtures::conversation_id());
    let said = plain(&chat, "I am Mina Sato.");
    let looked = of_parts(&chat, WireRole::User, vec![text("Mina")]);
    let mut redacted = Vec::new();
    for request in [&said, &looked] {
        redacted.push(redact(&service, &store(&service, request.clone()).await).await.expect("redacted"));
    }
    for (request, redacted) in [(&said, &redacted[0]), (&looked, &redacted[1])] {
        let answer = service.client.clone().store_message(request.clone()).await.expect("replayed").into_inner();
        assert_eq!((answer.replayed, answer.message.as_ref()), (true, Some(redacted)));
    }
    // Nothing is left to tell another text from the first one, and the role is that of the stored message.
    let another = StoreMessageRequest { role: WireRole::Assistant.into(), ..said.clone() };
    let another = StoreMessageRequest { content: "something else".to_owned(), ..another };
    let results = store_many(&service, &chat, &[another, plain(&chat, "new"), looked.clone()]).await.expect("stored");
    let messages: Vec<_> = results.into_iter().map(|result| (result.replayed, result.message.expect("it"))).collect();
    assert_eq!((&messages[0], &messages[2]), (&(true, redacted[0].clone()), &(true, redacted[1].clone())));
    assert_eq!((messages[1].0, messages[1].1.sequence), (false, 3));
    // In another conversation the id is taken all the same.
    let elsewhere = StoreMessageRequest { conversation_id: other.clone(), ..said };
    let status = service.client.clone().store_message(elsewhere.clone()).await.expect_err("refused");
    assert_eq!(kind(&status), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()));
    let status = store_many(&service, &other, &[elsewhere]).await.expect_err("refused");
    assert_eq!(kind(&status), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_races_with_repeated_calls_and_is_final() {
    let service = Conversation::start().await.ready().await;
    for _ in 0..10 {
        let said = plain(&fixtures::conversation_id(), "I am Mina Sato.");
        let stored = store(&service, said.clone()).await;
        let mut client = service.client.clone();
        let replays = join_all((0..6).map(|_| {
            let (mut client, said) = (client.clone(), said.clone());
            async move { client.store_message(said).await.expect("replayed").into_inner() }
        }));
        let (replays, redacted) = tokio::join!(replays, client.redact_message(request(&stored)));
        redacted.expect("redacted");
        assert!(replays.iter().all(|replay| replay.replayed));
        let replay = client.store_message(said).await.expect("replayed").into_inner();
        assert_eq!(replay.message.expect("the message").content, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pairs_of_a_redacted_call_stay_checked() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let called = store(&service, calling(&chat, "a")).await;
    redact(&service, &called).await.expect("redacted");
    let status = service.client.clone().store_message(calling(&chat, "a")).await.expect_err("used");
    assert_eq!(kind(&status).1, "TOOL_CALL_EXISTS");
    let answered = store(&service, answering(&chat, "a")).await;
    redact(&service, &answered).await.expect("redacted");
    let status = service.client.clone().store_message(answering(&chat, "a")).await.expect_err("answered");
    assert_eq!(kind(&status).1, "TOOL_CALL_ANSWERED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_covers_a_redacted_message_goes_with_it() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut stored = Vec::new();
    for n in 0..4 {
        stored.push(store(&service, plain(&chat, &format!("message {n}"))).await);
    }
    service.client.clone().set_summary(summary(&chat, 2, "Mina wants a table.")).await.expect("set");
    redact(&service, &stored[2]).await.expect("redacted");
    assert!(read(&service, &chat).await.summary.is_some(), "it does not cover the message");
    redact(&service, &stored[1]).await.expect("redacted");
    assert_eq!(read(&service, &chat).await.summary, None);
    service.client.clone().set_summary(summary(&chat, 1, "A new one.")).await.expect("set");
    redact(&service, &stored[1]).await.expect("again");
    assert!(read(&service, &chat).await.summary.is_some(), "redacting again changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_follow_up_goes_with_its_message() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let service = fixture::over(url, Keys::random(), fixture::quick(), |_| {}).await;
    let chat = fixtures::conversation_id();
    store(&service, plain(&chat, "Hello")).await;
    let follow_up = fixture::Scheduled {
        metadata: vec![("name", "Mina")],
        ..fixture::custom(&chat, "How was your evening, Mina?")
    };
    fixture::schedule(&service, &[follow_up]).await;
    fixture::until(&service, "SELECT EXISTS (SELECT FROM follow_ups WHERE ready_at IS NOT NULL)").await;
    let claimed = claim_one(&service.follow_ups).await;
    let completed = service.follow_ups.clone().complete_follow_up(completion(&claimed)).await.expect("completed");
    let message = completed.into_inner().message.expect("the message");
    assert_eq!(message.content, "How was your evening, Mina?");

    let redacted = redact(&service, &message).await.expect("redacted");
    let request = ListFollowUpsRequest { conversation_id: chat, ..Default::default() };
    let listed = service.follow_ups.clone().list_follow_ups(request).await.expect("listed").into_inner();
    assert_eq!((listed.follow_ups[0].content.as_str(), &listed.follow_ups[0].metadata), ("", &None));
    assert_eq!(listed.follow_ups[0].message_id, message.message_id);
    let again = service.follow_ups.clone().complete_follow_up(completion(&claimed)).await.expect("replayed");
    assert_eq!(again.into_inner().message, Some(redacted), "completing again answers the redacted message");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_which_message_and_who_and_nothing_of_what_it_said() {
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
    let token = callers.token(Role::Orchestrator);
    let stored = client.store_message(with_token(token, said)).await.expect("stored").into_inner().message;
    let stored = stored.expect("the message");
    for role in [Role::Sender, Role::Operator] {
        let status =
            client.redact_message(with_token(callers.token(role), request(&stored))).await.expect_err("denied");
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    for _ in 0..2 {
        let token = callers.token(Role::Privacy);
        let redacted = client.redact_message(with_token(token, request(&stored))).await.expect("redacted");
        assert_eq!(redacted.into_inner().message.expect("the message").redacted_by, "privacy");
    }
    let events: Value =
        service.scalar("SELECT json_agg(json_build_object('type', type, 'data', data)) FROM outbox_messages").await;
    let events = events.as_array().expect("events");
    assert_eq!(events.len(), 1, "only the first call redacts");
    assert_eq!(events[0]["type"], "teppan.conversation.message_redacted.v1");
    let data = &events[0]["data"];
    assert_eq!((&data["message_id"], &data["redacted_by"]), (&stored.message_id.into(), &"privacy".into()));
    assert_eq!((&data["conversation_id"], &data["sequence"]), (&stored.conversation_id.into(), &1.into()));
    assert!(data["occurred_at"].is_string());
    assert_eq!(data.as_object().expect("an object").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_conversation_is_not_found() {
    let service = Conversation::start().await.ready().await;
    let stored = store(&service, plain(&fixtures::conversation_id(), "Hello")).await;
    let elsewhere = Message { conversation_id: fixtures::conversation_id(), ..stored.clone() };
    let unknown = Message { message_id: Uuid::new_v4().to_string(), ..stored.clone() };
    for message in [elsewhere, unknown] {
        let status = redact(&service, &message).await.expect_err("not there");
        assert_eq!(kind(&status), (Code::NotFound, "MESSAGE_NOT_FOUND".to_owned()));
    }
    let status = redact(&service, &Message::default()).await.expect_err("wrong");
    assert_eq!(wrong_fields(&status), ["conversation_id", "message_id"]);
    assert_eq!(list(&service, &stored.conversation_id).await, [stored]);
}
