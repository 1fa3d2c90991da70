use std::time::Duration;

use strum::VariantArray as _;
use teppan_shared::{contract::conversation::v1 as wire, server::Bounds, status::Violations, wire::given};
use tokio::time::Instant;
use tonic::Status;

use super::{decode, encode, enums::WireEnum as _};
use crate::{
    domain::{Channel, IdempotencyKey, UserId},
    follow_ups::{BatchSize, Claim, Claimant, Claimed, LeaseSeconds, WaitSeconds},
};

/// A waiting call stops waiting this long before its deadline. So the answer of a claim that has just begun arrives in
/// time, even with a round trip of 300 ms to the database. If the answer were lost, the follow-ups would stay claimed.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: wire::ClaimDueFollowUpsRequest) -> Result<(Claim, WaitSeconds), Status> {
    decode::request(|violations| {
        let key =
            violations.check_optional("idempotency_key", given(request.idempotency_key).map(IdempotencyKey::parse));
        let claimant = violations.check("claimant", Claimant::parse(request.claimant));
        let batch = violations.check("batch_size", BatchSize::parse(request.batch_size));
        let lease = violations.check("lease_seconds", LeaseSeconds::parse(request.lease_seconds));
        let wait = violations.check("wait_seconds", WaitSeconds::parse(request.wait_seconds));
        let channels = decode_channels(&request.channels, violations);
        let claim = Claim { key: key?, claimant: claimant?, batch: batch?, lease: lease?, channels: channels? };
        Some((claim, wait?))
    })
}

/// The channels in a fixed order, so that the same channels in another order are the same request.
fn decode_channels(raw: &[i32], violations: &mut Violations) -> Option<Vec<Channel>> {
    // A longer list must contain duplicates; report one violation.
    if raw.len() > Channel::VARIANTS.len() {
        violations.add("channels", "must name each channel once");
        return None;
    }
    let named = decode::entries("channels", raw, |raw| Channel::required(*raw), violations)?;
    Some(Channel::VARIANTS.iter().filter(|channel| named.contains(channel)).copied().collect())
}

/// The end of the wait: as requested, but before the deadline.
pub fn wait_until(wait: WaitSeconds, bounds: &Bounds) -> Instant {
    let now = Instant::now();
    let ends_at = bounds.ends_at();
    let margin = ANSWER_MARGIN.min(ends_at.saturating_duration_since(now) / 4);
    (now + Duration::from_secs(wait.get().unsigned_abs().into())).min(ends_at - margin)
}

pub fn encode(claimed: Vec<Claimed>) -> wire::ClaimDueFollowUpsResponse {
    let encode = |claimed: Claimed| {
        let Claimed { follow_up, user_id, token } = claimed;
        let channel = follow_up.row.channel().map(wire::Channel::from).unwrap_or_default();
        wire::ClaimedFollowUp {
            claim_token: token.to_string(),
            user_id: user_id.as_ref().map_or("", UserId::as_str).to_owned(),
            channel: channel.into(),
            message_id: follow_up.row.message_id.to_string(),
            follow_up: Some(encode::follow_up(follow_up)),
        }
    };
    wire::ClaimDueFollowUpsResponse { follow_ups: claimed.into_iter().map(encode).collect() }
}
