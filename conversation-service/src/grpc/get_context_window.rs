use teppan_shared::contract::conversation::v1 as wire;
use tonic::Status;

use super::{decode, encode};
use crate::{
    context_windows::{ContextWindow, MaxMessages, Omission, OmissionReason, WindowBounds},
    domain::ConversationId,
    messages::TokenCount,
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: wire::GetContextWindowRequest) -> Result<(ConversationId, WindowBounds), Status> {
    decode::request(|violations| {
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let messages = violations.check("max_messages", MaxMessages::parse(request.max_messages));
        let tokens = violations.check("max_tokens", TokenCount::parse(request.max_tokens));
        let tokens = tokens.map(|tokens| Some(i64::from(tokens.get())).filter(|tokens| *tokens > 0));
        Some((conversation_id?, WindowBounds { messages: messages?, tokens: tokens? }))
    })
}

pub fn encode(window: ContextWindow) -> wire::GetContextWindowResponse {
    let omission = |omission: Omission| wire::ContextOmission {
        sequence: omission.sequence,
        reason: wire::ContextOmissionReason::from(omission.reason).into(),
    };
    wire::GetContextWindowResponse {
        messages: window.messages.into_iter().map(encode::message).collect(),
        total_tokens: window.tokens.count,
        truncated: window.is_truncated,
        summary: window.summary.map(encode::summary),
        tokens_estimated: window.tokens.is_estimated,
        omitted: window.omitted.into_iter().map(omission).collect(),
        system_messages_truncated: window.is_system_truncated,
        message_count: window.message_count,
    }
}

impl From<OmissionReason> for wire::ContextOmissionReason {
    fn from(reason: OmissionReason) -> Self {
        match reason {
            OmissionReason::Redacted => Self::Redacted,
            OmissionReason::Unpaired => Self::Unpaired,
            OmissionReason::System => Self::System,
        }
    }
}
