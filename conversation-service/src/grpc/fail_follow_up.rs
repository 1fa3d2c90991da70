use teppan_shared::contract::conversation::v1 as wire;
use tonic::Status;

use super::{decode, enums::WireEnum as _};
use crate::follow_ups::{ClaimToken, Failure, FailureReason, FollowUpId, RetrySeconds};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: &wire::FailFollowUpRequest) -> Result<Failure, Status> {
    decode::request(|violations| {
        let follow_up_id = violations.check("follow_up_id", FollowUpId::parse(&request.follow_up_id));
        let token = violations.check("claim_token", ClaimToken::parse(&request.claim_token));
        let reason = violations.check("reason", decode_reason(request.reason));
        let retry_after =
            violations.check_optional("retry_after_seconds", request.retry_after_seconds.map(RetrySeconds::parse));
        Some(Failure {
            follow_up_id: follow_up_id?,
            token: token?,
            reason: reason?,
            permanent: request.permanent,
            retry_after: retry_after?,
        })
    })
}

fn decode_reason(raw: i32) -> Result<FailureReason, &'static str> {
    let reported = FailureReason::required(raw)?;
    if reported == FailureReason::LeaseExpired { Err(FailureReason::MUST) } else { Ok(reported) }
}
