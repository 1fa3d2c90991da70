use chrono::{DateTime, Utc};
use teppan_shared::{contract::conversation::v1 as wire, wire::given};
use tonic::Status;

use super::{decode, encode, enums::WireEnum as _};
use crate::{
    domain::{Channel, Content, MessageId},
    follow_ups::{ClaimToken, Completed, Completion, FollowUpId},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: wire::CompleteFollowUpRequest, now: DateTime<Utc>) -> Result<Completion, Status> {
    decode::request(|violations| {
        let follow_up_id = violations.check("follow_up_id", FollowUpId::parse(&request.follow_up_id));
        let token = violations.check("claim_token", ClaimToken::parse(&request.claim_token));
        let message_id =
            violations.check_optional("message_id", given(request.message_id).map(|raw| MessageId::parse(&raw)));
        let content = violations.check_optional("content", given(request.content).map(Content::parse));
        let channel = violations.check("channel", Channel::optional(request.channel));
        let sent_at = violations.check_optional("sent_at", request.sent_at.map(|time| decode::sent_at(time, now)));
        Some(Completion {
            follow_up_id: follow_up_id?,
            token: token?,
            message_id: message_id?,
            content: content?,
            channel: channel?,
            sent_at: sent_at?,
        })
    })
}

pub fn encode(completed: Completed) -> wire::CompleteFollowUpResponse {
    wire::CompleteFollowUpResponse {
        follow_up: Some(encode::follow_up(completed.follow_up)),
        message: Some(encode::message(completed.message)),
        replayed: completed.replayed,
    }
}
