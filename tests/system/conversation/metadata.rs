//! Metadata is accepted only if every client can read it.

use prost::Message as _;
use prost_types::{ListValue, Struct, Value, value::Kind};
use teppan_shared::contract::conversation::v1::{
    FollowUpTrigger, ListFollowUpsRequest, ListMessagesRequest, ListMessagesResponse, ScheduleFollowUpRequest,
    StoreMessageRequest,
};
use teppan_tests::{fixtures, harness::Conversation};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The deepest nesting of objects and lists.
const LEVELS_MAX: usize = 16;

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn of(name: &str, value: Value) -> Struct {
    Struct { fields: [(name.to_owned(), value)].into() }
}

fn object(inner: Value) -> Value {
    value(Kind::StructValue(of("a", inner)))
}

fn list(inner: Value) -> Value {
    value(Kind::ListValue(ListValue { values: vec![inner] }))
}

fn nested(levels: usize, within: fn(Value) -> Value) -> Struct {
    of("a", (0..levels).fold(value(Kind::BoolValue(true)), |inner, _| within(inner)))
}

fn message(metadata: Struct) -> StoreMessageRequest {
    StoreMessageRequest { metadata: Some(metadata), ..fixtures::message(&fixtures::conversation_id(), "Hello") }
}

fn follow_up(metadata: Struct) -> ScheduleFollowUpRequest {
    ScheduleFollowUpRequest {
        idempotency_key: Uuid::new_v4().to_string(),
        conversation_id: fixtures::conversation_id(),
        trigger: FollowUpTrigger::PostEvent.into(),
        due_at: Some(chrono::Utc::now().into()),
        metadata: Some(metadata),
        ..Default::default()
    }
}

/// The fields that are reported as wrong.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_some_clients_cannot_read_is_refused_with_its_path() {
    let conversation = Conversation::start().await.ready().await;
    let refused = [
        (of("a", value(Kind::NumberValue(f64::NAN))), r#"metadata.fields["a"]"#.to_owned()),
        (
            of("a", list(value(Kind::NumberValue(f64::INFINITY)))),
            r#"metadata.fields["a"].list_value.values[0]"#.to_owned(),
        ),
        (of("a", object(Value { kind: None })), r#"metadata.fields["a"].struct_value.fields["a"]"#.to_owned()),
        (
            nested(LEVELS_MAX + 1, list),
            format!(r#"metadata.fields["a"]{}"#, ".list_value.values[0]".repeat(LEVELS_MAX)),
        ),
        (nested(30, object), format!(r#"metadata.fields["a"]{}"#, r#".struct_value.fields["a"]"#.repeat(LEVELS_MAX))),
    ];
    for (metadata, path) in refused {
        let path = [path];
        let status = conversation.client.clone().store_message(message(metadata.clone())).await;
        assert_eq!(fields(&status.expect_err("refused")), path);
        let status = conversation.follow_ups.clone().schedule_follow_up(follow_up(metadata)).await;
        assert_eq!(fields(&status.expect_err("refused")), path);
    }
}

/// A client's own message that embeds an answer of the service.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(message, optional, boxed, tag = "1")]
    inner: Option<Box<Envelope>>,
    #[prost(message, optional, tag = "2")]
    answer: Option<ListMessagesResponse>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_allowed_metadata_can_be_read_even_when_a_client_embeds_the_answer() {
    let conversation = Conversation::start().await.ready().await;
    for within in [list, object] {
        let sent = message(nested(LEVELS_MAX, within));
        conversation.client.clone().store_message(sent.clone()).await.expect("stored");
        let request = ListMessagesRequest { conversation_id: sent.conversation_id.clone(), ..Default::default() };
        let answer = conversation.client.clone().list_messages(request).await.expect("listed").into_inner();
        assert_eq!(answer.messages[0].metadata, sent.metadata);
        let envelope = Envelope { answer: Some(answer), inner: None };
        let envelope = (0..40).fold(envelope, |inner, _| Envelope { inner: Some(Box::new(inner)), answer: None });
        // The decoder accepts a hundred nested messages, as protobuf's decoders do by default.
        assert!(Envelope::decode(envelope.encode_to_vec().as_slice()).is_ok());

        conversation
            .follow_ups
            .clone()
            .schedule_follow_up(follow_up(nested(LEVELS_MAX, within)))
            .await
            .expect("scheduled");
        let listed =
            conversation.follow_ups.clone().list_follow_ups(ListFollowUpsRequest::default()).await.expect("listed");
        assert!(listed.into_inner().follow_ups.iter().any(|listed| listed.metadata == sent.metadata));
    }
}
