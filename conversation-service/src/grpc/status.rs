//! The one place where a use case's errors become what a client is told.

use teppan_shared::{read_error::ReadError, status::Failure};
use tonic::Status;

use crate::{domain::ConversationId, list_conversations::ListConversationsError, store_message::StoreMessageError};

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
