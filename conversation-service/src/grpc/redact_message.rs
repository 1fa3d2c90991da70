use teppan_shared::contract::conversation::v1::RedactMessageRequest;
use tonic::Status;

use super::decode;
use crate::domain::{ConversationId, MessageId};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: RedactMessageRequest) -> Result<(ConversationId, MessageId), Status> {
    decode::request(|violations| {
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let message_id = violations.check("message_id", MessageId::parse(&request.message_id));
        Some((conversation_id?, message_id?))
    })
}
