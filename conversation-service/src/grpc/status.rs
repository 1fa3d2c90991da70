//! Converts the errors of the use cases to gRPC statuses.

mod follow_ups;

use teppan_shared::{
    read_error::ReadError,
    status::{Failure, Violations},
};
use tonic::{Code, Status};

pub use self::follow_ups::{
    cancel_follow_up, claim_due_follow_ups, complete_follow_up, fail_follow_up, list_follow_ups, schedule_follow_up,
};
use super::{get_emotion_history, list_conversations, list_messages, memories, search_messages};
use crate::{
    conversations::ListConversationsError,
    domain::{ConversationId, MessageId},
    emotions::EmotionHistoryError,
    handoffs::ChangeHolderError,
    memories::{ListMemoriesError, MEMORIES_MAX, NewMemory, SetMemoryError},
    messages::{ListMessagesError, StoreMessageError, StoreMessagesError, StreamMessagesError, ToolCallRefusal},
    search::SearchError,
    summaries::SetSummaryError,
};

pub fn store_message(error: &StoreMessageError) -> Status {
    match error {
        StoreMessageError::KeyReused => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "This message_id was used for another message: use a new one for a new message, and the same message \
             when you retry.",
        )
        .into(),
        StoreMessageError::ToolCall(refusal) => tool_call(refusal).into(),
        StoreMessageError::Contended => Failure::overloaded().into(),
        StoreMessageError::Corrupted(error) => error.to_failure().into(),
        StoreMessageError::Database(error) => error.to_failure().into(),
    }
}

pub fn store_messages(error: &StoreMessagesError) -> Status {
    match error {
        StoreMessagesError::KeysReused(ids) => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "The message_ids in the metadata were used for other messages, and nothing was stored: use new ones for \
             new messages, and the same messages when you retry.",
        )
        .with("message_ids", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        .into(),
        StoreMessagesError::ToolCall(refusal) => tool_call(refusal).into(),
        StoreMessagesError::Contended => Failure::overloaded().into(),
        StoreMessagesError::Corrupted(error) => error.to_failure().into(),
        StoreMessagesError::Database(error) => error.to_failure().into(),
    }
}

fn tool_call(refusal: &ToolCallRefusal) -> Failure {
    let (reason, call_id, message) = match refusal {
        ToolCallRefusal::Exists(id) => (
            "TOOL_CALL_EXISTS",
            id,
            "The conversation has a tool call with this call_id already: give each call an id of its own.",
        ),
        ToolCallRefusal::NotFound(id) => (
            "TOOL_CALL_NOT_FOUND",
            id,
            "The conversation has no tool call with this call_id: store the call before its result.",
        ),
        ToolCallRefusal::Answered(id) => {
            ("TOOL_CALL_ANSWERED", id, "The tool call with this call_id has a result already: a call is answered once.")
        }
    };
    Failure::precondition(reason, "parts.call_id", message).with("call_id", call_id)
}

pub fn redact_message(error: &ReadError, message_id: MessageId) -> Status {
    match error {
        ReadError::NotFound => Failure::not_found("MESSAGE_NOT_FOUND", "message", message_id).into(),
        ReadError::Corrupted(error) => error.to_failure().into(),
        ReadError::Database(error) => error.to_failure().into(),
    }
}

pub fn set_summary(error: &SetSummaryError, conversation_id: &ConversationId) -> Status {
    match error {
        SetSummaryError::NotFound => {
            Failure::not_found("CONVERSATION_NOT_FOUND", "conversation", conversation_id).into()
        }
        SetSummaryError::Outdated { present } => Failure::precondition(
            "SUMMARY_OUTDATED",
            "through_sequence",
            "The present summary covers more messages, up to the through_sequence in the metadata: read it, and \
             summarise from there.",
        )
        .with("through_sequence", present)
        .into(),
        SetSummaryError::Ahead { message_count } => Failure::precondition(
            "SUMMARY_AHEAD",
            "through_sequence",
            "The conversation has fewer messages than the summary covers: through_sequence is the message_count in \
             the metadata at most.",
        )
        .with("message_count", message_count)
        .into(),
        SetSummaryError::Contended => Failure::overloaded().into(),
        SetSummaryError::Database(error) => error.to_failure().into(),
    }
}

pub fn search_messages(error: &SearchError, requested: &search_messages::PageRequest) -> Status {
    match error {
        SearchError::Disabled => Failure::precondition(
            "SEARCH_DISABLED",
            "MESSAGE_SEARCH",
            "The operators have not turned the search on: they set MESSAGE_SEARCH=on, and messages that are stored from \
             then on are found.",
        )
        .into(),
        SearchError::Unreadable { position, source } => {
            source.to_failure_of_page(search_messages::token(requested, position)).into()
        }
        SearchError::Database(error) => error.to_failure().into(),
    }
}

pub fn set_memory(error: &SetMemoryError, new: &NewMemory) -> Status {
    match error {
        SetMemoryError::SourceNotFound => {
            let source = new.source_message_id.map(|id| id.to_string()).unwrap_or_default();
            Failure::not_found("MESSAGE_NOT_FOUND", "message", source).into()
        }
        SetMemoryError::TooMany => Failure::precondition(
            "TOO_MANY_MEMORIES",
            "user_id",
            "The user has as many memories as one may have: delete some, or set them with an expires_at.",
        )
        .with("max", MEMORIES_MAX)
        .into(),
        SetMemoryError::Contended => Failure::overloaded().into(),
        SetMemoryError::Corrupted(error) => error.to_failure().into(),
        SetMemoryError::Database(error) => error.to_failure().into(),
    }
}

pub fn list_memories(error: &ListMemoriesError, requested: &memories::PageRequest) -> Status {
    match error {
        ListMemoriesError::Unreadable { memory_id, source } => {
            source.to_failure_of_page(memories::token(&requested.user_id, *memory_id)).into()
        }
        ListMemoriesError::Corrupted(error) => error.to_failure().into(),
        ListMemoriesError::Database(error) => error.to_failure().into(),
    }
}

pub fn change_holder(error: &ChangeHolderError, conversation_id: &ConversationId) -> Status {
    match error {
        ChangeHolderError::NotFound => {
            Failure::not_found("CONVERSATION_NOT_FOUND", "conversation", conversation_id).into()
        }
        ChangeHolderError::EtagMismatch => Failure::new(
            Code::Aborted,
            "ETAG_MISMATCH",
            "The status or the holder of the conversation has changed since this etag was read: read it again, then \
             decide whether to repeat the call.",
        )
        .into(),
        ChangeHolderError::Contended => Failure::overloaded().into(),
        ChangeHolderError::Corrupted(error) => error.to_failure().into(),
        ChangeHolderError::Database(error) => error.to_failure().into(),
    }
}

pub fn read(error: &ReadError, conversation_id: &ConversationId) -> Status {
    match error {
        ReadError::NotFound => Failure::not_found("CONVERSATION_NOT_FOUND", "conversation", conversation_id).into(),
        ReadError::Corrupted(error) => error.to_failure().into(),
        ReadError::Database(error) => error.to_failure().into(),
    }
}

pub fn list_messages(error: &ListMessagesError, requested: &list_messages::PageRequest) -> Status {
    match error {
        ListMessagesError::NotFound => {
            Failure::not_found("CONVERSATION_NOT_FOUND", "conversation", &requested.conversation_id).into()
        }
        ListMessagesError::Unreadable { sequence, source } => {
            source.to_failure_of_page(list_messages::token(requested, *sequence)).with("sequence", sequence).into()
        }
        ListMessagesError::Database(error) => error.to_failure().into(),
    }
}

pub fn stream_messages(error: &StreamMessagesError, conversation_id: &ConversationId) -> Status {
    match error {
        StreamMessagesError::NotFound => {
            Failure::not_found("CONVERSATION_NOT_FOUND", "conversation", conversation_id).into()
        }
        StreamMessagesError::Ahead { .. } => {
            let mut violations = Violations::default();
            violations.add(
                "after_sequence",
                "must not be greater than the number of messages: was the conversation deleted, and its id used again?",
            );
            violations.into_status()
        }
        StreamMessagesError::Unreadable { sequence, source } => source.to_failure().with("sequence", sequence).into(),
        StreamMessagesError::Database(error) => error.to_failure().into(),
    }
}

pub fn list_conversations(error: &ListConversationsError, requested: &list_conversations::PageRequest) -> Status {
    match error {
        ListConversationsError::Unreadable { cursor, source } => source
            .to_failure_of_page(list_conversations::token(requested, cursor))
            .with("conversation_id", &cursor.conversation_id)
            .into(),
        ListConversationsError::Database(error) => error.to_failure().into(),
    }
}

pub fn emotion_history(error: &EmotionHistoryError, requested: &get_emotion_history::PageRequest) -> Status {
    match error {
        EmotionHistoryError::Unreadable { sequence, source } => source
            .to_failure_of_page(get_emotion_history::token(requested, *sequence))
            .with("sequence", sequence)
            .into(),
        EmotionHistoryError::Read(error) => read(error, &requested.conversation_id),
    }
}
