use std::time::Duration;

use teppan_shared::{contract::conversation::v1 as wire, server::Bounds, status::Violations, wire::given};
use tokio::time::Instant;
use tonic::Status;

use super::{decode, encode};
use crate::{
    domain::{Channel, IdempotencyKey},
    follow_ups::{BatchSize, Claim, Claimant, Claimed, LeaseTime, WaitTime},
};

/// A waiting call answers this long before its deadline, so that a claim that has just begun and its
/// answer arrive in time, also from a database 300 ms away: a claim whose answer is lost keeps its lease.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: wire::ClaimDueFollowUpsRequest) -> Result<(Claim, WaitTime), Status> {
    let mut violations = Violations::default();
    decode_fields(request, &mut violations).ok_or_else(|| violations.into_status())
}

fn decode_fields(request: wire::ClaimDueFollowUpsRequest, violations: &mut Violations) -> Option<(Claim, WaitTime)> {
    let key = violations.check_optional("idempotency_key", given(request.idempotency_key).map(IdempotencyKey::parse));
    let claimant = violations.check("claimant", Claimant::parse(request.claimant));
    let batch = violations.check("batch_size", BatchSize::parse(request.batch_size));
    let lease = violations.check("lease_seconds", LeaseTime::parse(request.lease_seconds));
    let wait = violations.check("wait_seconds", WaitTime::parse(request.wait_seconds));
    let channels = decode_channels(&request.channels, violations);
    let claim = Claim { key: key?, claimant: claimant?, batch: batch?, lease: lease?, channels: channels? };
    Some((claim, wait?))
}

/// Each once, in a fixed order: the same channels are the same request.
fn decode_channels(channels: &[i32], violations: &mut Violations) -> Option<Vec<Channel>> {
    // Of a list that is too long only that is told: there might be very many.
    if channels.len() > Channel::ALL.len() {
        violations.add("channels", "must name each channel once");
        return None;
    }
    let read = |(index, raw): (usize, &i32)| violations.check(format_args!("channels[{index}]"), decode::channel(*raw));
    let asked: Vec<_> = channels.iter().enumerate().map(read).collect();
    let asked: Vec<_> = asked.into_iter().collect::<Option<_>>()?;
    Some(Channel::ALL.into_iter().filter(|channel| asked.contains(channel)).collect())
}

/// Until when the call may wait: as long as it asks for, but not past its own end.
pub fn wait_until(wait: WaitTime, bounds: &Bounds) -> Instant {
    let now = Instant::now();
    let ends_at = bounds.ends_at();
    let margin = ANSWER_MARGIN.min(ends_at.saturating_duration_since(now) / 4);
    (now + wait.get()).min(ends_at - margin)
}

pub fn encode(claimed: Vec<Claimed>) -> wire::ClaimDueFollowUpsResponse {
    let encode = |claimed: Claimed| {
        let Claimed { follow_up, token } = claimed;
        let user_id = follow_up.user_id.as_ref().map_or_else(String::new, |user| user.as_str().to_owned());
        let channel = follow_up.channel.map_or(wire::Channel::Unspecified, encode::channel);
        wire::ClaimedFollowUp {
            claim_token: token.to_string(),
            user_id,
            channel: channel.into(),
            message_id: follow_up.message_id.to_string(),
            follow_up: Some(encode::follow_up(follow_up)),
        }
    };
    wire::ClaimDueFollowUpsResponse { follow_ups: claimed.into_iter().map(encode).collect() }
}
