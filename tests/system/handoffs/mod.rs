//! Conversations are closed, handed over to the queue or a person, and back.

mod events;
mod follow_ups;
mod lists;
mod plans;
mod races;
mod states;

use teppan_shared::contract::conversation::v1::{
    AssignConversationRequest, CloseConversationRequest, Conversation as WireConversation, ConversationHolder,
    EscalateConversationRequest, EscalationReason, GetConversationRequest, StoreMessageRequest,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A new conversation with one message of the customer.
async fn begun(service: &Conversation) -> String {
    let chat = fixtures::conversation_id();
    say(service, &chat).await;
    chat
}

async fn say(service: &Conversation, chat: &str) {
    let message = StoreMessageRequest { emotion: None, ..fixtures::message(chat, "Are you there?") };
    service.client.clone().store_message(message).await.expect("stored");
}

async fn read(service: &Conversation, chat: &str) -> WireConversation {
    let request = GetConversationRequest { conversation_id: chat.to_owned() };
    let answer = service.client.clone().get_conversation(request).await.expect("read");
    answer.into_inner().conversation.expect("the conversation")
}

async fn close(service: &Conversation, chat: &str, etag: &str) -> Result<WireConversation, Status> {
    let request = CloseConversationRequest { conversation_id: chat.to_owned(), etag: etag.to_owned() };
    let answer = service.client.clone().close_conversation(request).await?;
    Ok(answer.into_inner().conversation.expect("the conversation"))
}

/// Escalates to a person, or, with no name, to the queue.
async fn escalate(service: &Conversation, chat: &str, assignee: &str) -> WireConversation {
    let request = EscalateConversationRequest {
        conversation_id: chat.to_owned(),
        reason: EscalationReason::CustomerRequest.into(),
        assignee: assignee.to_owned(),
        etag: String::new(),
    };
    let answer = service.client.clone().escalate_conversation(request).await.expect("escalated");
    answer.into_inner().conversation.expect("the conversation")
}

async fn assign(
    service: &Conversation,
    chat: &str,
    (holder, assignee): (ConversationHolder, &str),
    etag: &str,
) -> Result<WireConversation, Status> {
    let request = AssignConversationRequest {
        conversation_id: chat.to_owned(),
        holder: holder.into(),
        assignee: assignee.to_owned(),
        etag: etag.to_owned(),
    };
    let answer = service.client.clone().assign_conversation(request).await?;
    Ok(answer.into_inner().conversation.expect("the conversation"))
}

const ASSISTANT: (ConversationHolder, &str) = (ConversationHolder::Assistant, "");
const QUEUE: (ConversationHolder, &str) = (ConversationHolder::Queue, "");

fn person(name: &str) -> (ConversationHolder, &str) {
    (ConversationHolder::Person, name)
}

fn held_by(conversation: &WireConversation) -> (ConversationHolder, &str) {
    (conversation.holder(), &conversation.assignee)
}

/// The code and the reason of a refusal.
fn kind(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

/// The fields that are wrong, in order.
fn wrong_fields(status: &Status) -> Vec<String> {
    assert_eq!(kind(status), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}
