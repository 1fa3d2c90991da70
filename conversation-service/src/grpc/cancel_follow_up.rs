use teppan_shared::{
    contract::conversation::v1::{CancelFollowUpRequest, CancelFollowUpResponse, FollowUpKey as WireKey},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{decode, encode, enums::WireEnum as _};
use crate::{
    domain::{ConversationId, IdempotencyKey},
    follow_ups::{Cancelled, FollowUpId, FollowUpKey, FollowUpTrigger, Subject, ToCancel},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: CancelFollowUpRequest) -> Result<(Option<IdempotencyKey>, ToCancel), Status> {
    decode::request(|violations| {
        let idempotency_key = given(request.idempotency_key).map(IdempotencyKey::parse);
        let idempotency_key = violations.check_optional("idempotency_key", idempotency_key);
        let id = given(request.follow_up_id).map(|id| FollowUpId::parse(&id));
        let id = violations.check_optional("follow_up_id", id);
        let key = request.key.map_or(Some(None), |key| decode_key(key, violations).map(Some));
        let which = match (id?, key?) {
            (Some(id), None) => ToCancel::ById(id),
            (None, Some(key)) => ToCancel::ByKey(key),
            (given, _) => {
                let must =
                    if given.is_some() { "must not be given beside key" } else { "is required, unless key is given" };
                violations.add("follow_up_id", must);
                return None;
            }
        };
        Some((idempotency_key?, which))
    })
}

fn decode_key(key: WireKey, violations: &mut Violations) -> Option<FollowUpKey> {
    let conversation_id = violations.check("key.conversation_id", ConversationId::parse(key.conversation_id));
    let trigger = violations.check("key.trigger", FollowUpTrigger::required(key.trigger));
    let subject = violations.check("key.subject", Subject::parse_any(key.subject));
    Some(FollowUpKey { conversation_id: conversation_id?, trigger: trigger?, subject: subject? })
}

pub fn encode(cancelled: Cancelled) -> CancelFollowUpResponse {
    CancelFollowUpResponse { follow_up: cancelled.follow_up.map(encode::follow_up), cancelled: cancelled.cancelled }
}
