//! Converts the errors of the use cases to gRPC statuses.

use teppan_shared::{
    contract::conversation::v1 as wire,
    read_error::ReadError,
    status::{Failure, Violations},
};
use tonic::{Code, Status};

use super::{get_emotion_history, list_conversations, list_follow_ups, list_messages, memories, search_messages};
use crate::{
    conversations::ListConversationsError,
    domain::{ConversationId, MessageId},
    emotions::EmotionHistoryError,
    follow_ups::{
        CancelFollowUpError, ClaimError, CompleteFollowUpError, FailFollowUpError, FollowUpId, FollowUpStatus,
        ListFollowUpsError, ScheduleFollowUpError,
    },
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

pub fn claim_due_follow_ups(error: &ClaimError) -> Status {
    match error {
        ClaimError::KeyReused => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "This idempotency_key was used for another claim: use a new one for each claim, and the same request \
             when you retry.",
        )
        .into(),
        ClaimError::TooManyWaitingCalls(error) => error.to_failure().into(),
        ClaimError::Database(error) => error.to_failure().into(),
    }
}

pub fn complete_follow_up(error: &CompleteFollowUpError, follow_up_id: &FollowUpId) -> Status {
    use CompleteFollowUpError as E;

    match error {
        E::NotFound => no_follow_up(follow_up_id).into(),
        E::LeaseLost => lease_lost(follow_up_id).into(),
        E::Finished(status) => follow_up_finished(*follow_up_id, *status).into(),
        E::NoChannel => {
            let mut violations = Violations::default();
            violations.add("channel", "is required: neither the follow-up nor its conversation names a channel");
            violations.into_status()
        }
        E::KeyReused => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "This message_id belongs to another message: use the message_id of the claim, or a new one.",
        )
        .into(),
        E::Corrupted(error) => error.to_failure().into(),
        E::Database(error) => error.to_failure().into(),
    }
}

pub fn fail_follow_up(error: &FailFollowUpError, follow_up_id: &FollowUpId) -> Status {
    use FailFollowUpError as E;

    match error {
        E::NotFound => no_follow_up(follow_up_id).into(),
        E::LeaseLost => lease_lost(follow_up_id).into(),
        E::Finished(status) => follow_up_finished(*follow_up_id, *status).into(),
        E::Corrupted(error) => error.to_failure().into(),
        E::Database(error) => error.to_failure().into(),
    }
}

fn no_follow_up(follow_up_id: &FollowUpId) -> Failure {
    Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", follow_up_id)
}

fn lease_lost(follow_up_id: &FollowUpId) -> Failure {
    Failure::precondition(
        "LEASE_LOST",
        subject(follow_up_id),
        "Another call has claimed this follow-up, or it was moved: drop this claim, and claim again.",
    )
    .with("follow_up_id", follow_up_id)
}

pub fn schedule_follow_up(error: &ScheduleFollowUpError) -> Status {
    match error {
        ScheduleFollowUpError::KeyReused => key_reused().into(),
        ScheduleFollowUpError::Claimed(id) => Failure::precondition(
            "FOLLOW_UP_CLAIMED",
            subject(id),
            "The follow-up is being sent and cannot be moved now: send the same call again later, when it is sent \
             or its lease is over, or cancel it first.",
        )
        .with("follow_up_id", id)
        .into(),
        // Its id is unknown, because only the key is left.
        ScheduleFollowUpError::Gone => Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", "").into(),
        ScheduleFollowUpError::Contended => Failure::overloaded().into(),
        ScheduleFollowUpError::Corrupted(error) => error.to_failure().into(),
        ScheduleFollowUpError::Database(error) => error.to_failure().into(),
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

pub fn list_follow_ups(error: &ListFollowUpsError, requested: &list_follow_ups::PageRequest) -> Status {
    match error {
        ListFollowUpsError::Unreadable { cursor, source } => source
            .to_failure_of_page(list_follow_ups::token(requested, cursor))
            .with("follow_up_id", cursor.follow_up_id)
            .into(),
        ListFollowUpsError::Database(error) => error.to_failure().into(),
    }
}

pub fn cancel_follow_up(error: &CancelFollowUpError) -> Status {
    match error {
        CancelFollowUpError::KeyReused => key_reused().into(),
        CancelFollowUpError::NotFound(id) => Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", id).into(),
        CancelFollowUpError::Finished(id, status) => follow_up_finished(*id, *status).into(),
        CancelFollowUpError::Contended => Failure::overloaded().into(),
        CancelFollowUpError::Corrupted(error) => error.to_failure().into(),
        CancelFollowUpError::Database(error) => error.to_failure().into(),
    }
}

fn key_reused() -> Failure {
    Failure::invalid_argument(
        "IDEMPOTENCY_KEY_REUSED",
        "This idempotency_key was used for another request: use a new one for a new request, and the same request \
         when you retry.",
    )
}

fn follow_up_finished(id: FollowUpId, status: FollowUpStatus) -> Failure {
    Failure::precondition(
        "FOLLOW_UP_FINISHED",
        subject(&id),
        "The follow-up is finished, with the status in the metadata: do not repeat this call.",
    )
    .with("status", wire::FollowUpStatus::from(status).as_str_name())
}

/// The subject of a violated precondition.
fn subject(follow_up_id: &FollowUpId) -> String {
    format!("teppan/follow_up/{follow_up_id}")
}
