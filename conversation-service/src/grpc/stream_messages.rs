use teppan_shared::contract::conversation::v1::{StreamMessagesRequest, StreamMessagesResponse};
use tonic::Status;

use super::{decode, encode};
use crate::{domain::ConversationId, messages::Step};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: StreamMessagesRequest) -> Result<(ConversationId, i64), Status> {
    decode::request(|violations| {
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let after = Some(request.after_sequence).filter(|after| *after >= 0).ok_or("must be 0 or more");
        let after = violations.check("after_sequence", after);
        Some((conversation_id?, after?))
    })
}

pub fn encode(step: Step) -> StreamMessagesResponse {
    StreamMessagesResponse { message: step.message.map(encode::message), through_sequence: step.through_sequence }
}
