//! The one place where a use case's errors become what a client is told.

use teppan_shared::{read_error::ReadError, status::Failure};
use tonic::Status;

use super::encode;
use crate::{
    cancel_follow_up::CancelFollowUpError,
    domain::{ConversationId, FollowUpId, FollowUpStatus},
    list_conversations::ListConversationsError,
    list_follow_ups::ListFollowUpsError,
    schedule_follow_up::ScheduleFollowUpError,
    store_message::StoreMessageError,
};

pub fn store_message(error: &StoreMessageError) -> Status {
    match error {
        StoreMessageError::KeyReused => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "This message_id was used for another message: use a new one for a new message, and the same message \
             when you retry.",
        )
        .into(),
        StoreMessageError::Contended => Failure::overloaded().into(),
        StoreMessageError::Database(error) => error.to_failure().into(),
    }
}

pub fn read(error: &ReadError, conversation_id: &ConversationId) -> Status {
    match error {
        ReadError::NotFound => Failure::not_found("CONVERSATION_NOT_FOUND", "conversation", conversation_id).into(),
        ReadError::Corrupted(error) => error.to_failure().into(),
        ReadError::Database(error) => error.to_failure().into(),
    }
}

pub fn list_conversations(error: &ListConversationsError) -> Status {
    match error {
        ListConversationsError::Corrupted(error) => error.to_failure().into(),
        ListConversationsError::Database(error) => error.to_failure().into(),
    }
}

pub fn schedule_follow_up(error: &ScheduleFollowUpError) -> Status {
    match error {
        ScheduleFollowUpError::KeyReused => key_reused().into(),
        ScheduleFollowUpError::Claimed(id) => Failure::precondition(
            "FOLLOW_UP_CLAIMED",
            format!("teppan/follow_up/{id}"),
            "The follow-up is being sent and cannot be moved now: send the same call again later, when it is sent \
             or its lease is over, or cancel it first.",
        )
        .with("follow_up_id", id)
        .into(),
        // Not which one: the key is all that is left of it.
        ScheduleFollowUpError::Gone => Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", "").into(),
        ScheduleFollowUpError::Contended => Failure::overloaded().into(),
        ScheduleFollowUpError::Corrupted(error) => error.to_failure().into(),
        ScheduleFollowUpError::Database(error) => error.to_failure().into(),
    }
}

pub fn list_follow_ups(error: &ListFollowUpsError) -> Status {
    match error {
        ListFollowUpsError::Corrupted(error) => error.to_failure().into(),
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
        format!("teppan/follow_up/{id}"),
        "The follow-up is finished, as the metadata says: there is nothing left to do about it.",
    )
    .with("status", encode::follow_up_status(status).as_str_name())
}
