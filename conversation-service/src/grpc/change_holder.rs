//! CloseConversation, EscalateConversation, AssignConversation.

use teppan_shared::{
    contract::conversation::v1::{AssignConversationRequest, CloseConversationRequest, EscalateConversationRequest},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{
    decode,
    enums::{ConversationHolder, WireEnum as _},
};
use crate::{
    domain::ConversationId,
    handoffs::{Action, Assignee, EscalationReason, Holder},
};

/// A decoded request to change the status or the holder of a conversation.
pub struct ChangeRequest {
    pub conversation_id: ConversationId,
    pub action: Action,
    pub etag: Option<String>,
}

/// Reads the request, or reports everything that is wrong with it.
pub fn close(request: CloseConversationRequest) -> Result<ChangeRequest, Status> {
    let conversation_id = decode::conversation_id(request.conversation_id)?;
    Ok(ChangeRequest { conversation_id, action: Action::Close, etag: given(request.etag) })
}

/// Reads the request, or reports everything that is wrong with it.
pub fn escalate(request: EscalateConversationRequest) -> Result<ChangeRequest, Status> {
    decode::request(|violations| {
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let reason = violations.check("reason", EscalationReason::optional(request.reason));
        let assignee = violations.check_optional("assignee", given(request.assignee).map(Assignee::parse));
        let reason = reason?.unwrap_or(EscalationReason::Other);
        let action = Action::Escalate { reason, assignee: assignee? };
        Some(ChangeRequest { conversation_id: conversation_id?, action, etag: given(request.etag) })
    })
}

/// Reads the request, or reports everything that is wrong with it.
pub fn assign(request: AssignConversationRequest) -> Result<ChangeRequest, Status> {
    decode::request(|violations| {
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let holder = holder(request.holder, request.assignee, violations);
        let action = Action::Assign(holder?);
        Some(ChangeRequest { conversation_id: conversation_id?, action, etag: given(request.etag) })
    })
}

fn holder(holder: i32, assignee: String, violations: &mut Violations) -> Option<Holder> {
    let assignee = violations.check_optional("assignee", given(assignee).map(Assignee::parse));
    let holder = violations.check("holder", ConversationHolder::required(holder))?;
    match (holder, assignee?) {
        (ConversationHolder::Assistant, None) => Some(Holder::Assistant),
        (ConversationHolder::Queue, None) => Some(Holder::Queue),
        (ConversationHolder::Person, Some(assignee)) => Some(Holder::Person(assignee)),
        (ConversationHolder::Person, None) => {
            violations.add("assignee", "is required: who is the person?");
            None
        }
        (ConversationHolder::Assistant | ConversationHolder::Queue, Some(_)) => {
            violations.add("assignee", "must be empty unless holder is CONVERSATION_HOLDER_PERSON");
            None
        }
    }
}
