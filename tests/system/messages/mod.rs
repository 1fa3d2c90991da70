//! Messages with parts, messages that are stored together, context windows, summaries, and redaction.

mod batch_races;
mod batches;
mod context_window;
mod deletion;
mod deletion_races;
mod parts;
mod plans;
mod redaction;
mod retention;
mod round_trips;
mod search;
mod streaming;
mod summaries;

use prost_types::{Struct, Value, value::Kind};
use teppan_shared::contract::conversation::v1::{
    Attachment, Conversation as WireConversation, GetConversationRequest, ListMessagesRequest, Message, Part, Role,
    SetSummaryRequest, StoreMessageRequest, StoreMessageResponse, StoreMessagesRequest, ToolCall, ToolResult, part,
};
use teppan_tests::{fixtures, harness::Conversation};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A part.
fn part(part: part::Part) -> Part {
    Part { part: Some(part) }
}

pub fn text(text: &str) -> Part {
    part(part::Part::Text(text.to_owned()))
}

fn tool_call(call_id: &str) -> Part {
    let guests = Value { kind: Some(Kind::NumberValue(4.0)) };
    part(part::Part::ToolCall(ToolCall {
        call_id: call_id.to_owned(),
        name: "check_availability".to_owned(),
        arguments: Some(Struct { fields: [("guests".to_owned(), guests)].into() }),
    }))
}

fn tool_result(call_id: &str, content: &str) -> Part {
    part(part::Part::ToolResult(ToolResult {
        call_id: call_id.to_owned(),
        content: content.to_owned(),
        is_error: false,
    }))
}

fn attachment(uri: &str) -> Part {
    part(part::Part::Attachment(Attachment {
        uri: uri.to_owned(),
        media_type: "application/pdf".to_owned(),
        size_bytes: Some(120_000),
        name: "menu.pdf".to_owned(),
    }))
}

/// A message of parts only, by whoever has such parts.
fn of_parts(chat: &str, role: Role, parts: Vec<Part>) -> StoreMessageRequest {
    StoreMessageRequest {
        role: role.into(),
        content: String::new(),
        emotion: None,
        parts,
        ..fixtures::message(chat, "")
    }
}

fn calling(chat: &str, call_id: &str) -> StoreMessageRequest {
    of_parts(chat, Role::Assistant, vec![tool_call(call_id)])
}

fn answering(chat: &str, call_id: &str) -> StoreMessageRequest {
    of_parts(chat, Role::Tool, vec![tool_result(call_id, "6 seats are free")])
}

/// A message of the customer without an emotion.
fn plain(chat: &str, content: &str) -> StoreMessageRequest {
    StoreMessageRequest { emotion: None, ..fixtures::message(chat, content) }
}

fn batch(chat: &str, messages: Vec<StoreMessageRequest>) -> StoreMessagesRequest {
    StoreMessagesRequest { conversation_id: chat.to_owned(), messages }
}

async fn store(service: &Conversation, request: StoreMessageRequest) -> Message {
    let answer = service.client.clone().store_message(request).await.expect("stored");
    answer.into_inner().message.expect("the message")
}

/// Stores messages together; each with whether it was replayed.
async fn store_many(
    service: &Conversation,
    chat: &str,
    messages: &[StoreMessageRequest],
) -> Result<Vec<StoreMessageResponse>, Status> {
    let answer = service.client.clone().store_messages(batch(chat, messages.to_vec())).await?;
    Ok(answer.into_inner().results)
}

/// The sequences of results, and whether each was replayed.
fn outcomes(results: &[StoreMessageResponse]) -> Vec<(i64, bool)> {
    results.iter().map(|result| (result.message.as_ref().expect("the message").sequence, result.replayed)).collect()
}

async fn read(service: &Conversation, chat: &str) -> WireConversation {
    let request = GetConversationRequest { conversation_id: chat.to_owned() };
    let answer = service.client.clone().get_conversation(request).await.expect("read");
    answer.into_inner().conversation.expect("the conversation")
}

/// All messages of a conversation, page by page.
async fn list(service: &Conversation, chat: &str) -> Vec<Message> {
    let mut request = ListMessagesRequest { conversation_id: chat.to_owned(), page_size: 1000, ..Default::default() };
    let mut messages = Vec::new();
    loop {
        let page = service.client.clone().list_messages(request.clone()).await.expect("listed").into_inner();
        messages.extend(page.messages);
        if page.next_page_token.is_empty() {
            return messages;
        }
        request.page_token = page.next_page_token;
    }
}

fn summary(chat: &str, through_sequence: i64, text: &str) -> SetSummaryRequest {
    SetSummaryRequest {
        conversation_id: chat.to_owned(),
        through_sequence,
        text: text.to_owned(),
        written_by: "summariser-3".to_owned(),
        token_count: None,
    }
}

/// The code and the reason of a refusal.
fn kind(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

/// A value in the metadata of a refusal.
fn metadata(status: &Status, key: &str) -> String {
    status.get_details_error_info().expect("an ErrorInfo").metadata.remove(key).unwrap_or_default()
}

/// The fields that are wrong, in order.
fn wrong_fields(status: &Status) -> Vec<String> {
    assert_eq!(kind(status), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

/// Every row that storing writes, in every version, as one text: equal when nothing was written in between.
async fn written(service: &Conversation) -> String {
    let rows = "
        SELECT COALESCE(string_agg(row, ' ' ORDER BY row), '') FROM (
            SELECT xmin || c::text FROM conversations c
            UNION ALL SELECT xmin || m::text FROM messages m
            UNION ALL SELECT xmin || p::text FROM emotion_pending p
            UNION ALL SELECT xmin || t::text FROM tool_calls t
            UNION ALL SELECT xmin || r::text FROM tool_results r
            UNION ALL SELECT xmin || k::text FROM reengagement_checks k
            UNION ALL SELECT xmin || s::text FROM conversation_summaries s
        ) AS rows (row)";
    service.scalar(rows).await
}
