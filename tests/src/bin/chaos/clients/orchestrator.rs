//! An orchestrator claims due follow-ups and reports what became of them: sent, failed, sent twice, or nothing at all.

use std::time::Duration;

use chrono::Utc;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use teppan_shared::contract::conversation::v1::{
    Channel, ClaimDueFollowUpsRequest, ClaimedFollowUp, CompleteFollowUpRequest, FailFollowUpRequest,
    FollowUpFailureReason,
};
use teppan_tests::launch::Which;
use uuid::Uuid;

use super::{Caller, Patience, within};
use crate::ledger::Answer;

const BATCH: i32 = 20;
const LEASE_SECONDS: i32 = 10;
/// The pause when nothing is due.
const PAUSE: Duration = Duration::from_millis(200);

pub struct Orchestrator {
    caller: Caller,
    name: String,
    rng: StdRng,
}

impl Orchestrator {
    pub fn new(caller: Caller, index: usize, seed: u64) -> Self {
        Self { caller, name: format!("orchestrator-{index}"), rng: StdRng::seed_from_u64(seed) }
    }

    /// Works until `done`, which is after the clients have stopped: what they scheduled is still due.
    pub async fn run(mut self) {
        while !self.caller.stop.is_cancelled() {
            let claimed = self.claim().await;
            if claimed.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            for claim in claimed {
                match self.rng.random_range(0..100) {
                    0..82 => self.complete(&claim).await,
                    82..88 => {
                        self.complete(&claim).await;
                        self.complete(&claim).await;
                    }
                    88..95 => self.fail(&claim).await,
                    // It crashed, perhaps: the lease runs out.
                    _ => {}
                }
            }
        }
    }

    async fn claim(&self) -> Vec<ClaimedFollowUp> {
        let request = ClaimDueFollowUpsRequest {
            idempotency_key: Uuid::now_v7().to_string(),
            claimant: self.name.clone(),
            batch_size: BATCH,
            lease_seconds: LEASE_SECONDS,
            ..Default::default()
        };
        let (span, end) = self
            .caller
            .call("ClaimDueFollowUps", Patience::UntilAnswered, async |replica, deadline| {
                self.caller.follow_ups[replica].clone().claim_due_follow_ups(within(deadline, request.clone())).await
            })
            .await;
        let super::End::Answered(answer) = end else { return Vec::new() };
        for claim in &answer.follow_ups {
            let id = claim.follow_up.as_ref().map(|it| it.follow_up_id.clone()).unwrap_or_default();
            let ended = (span, super::End::Answered(claim));
            let call = (Which::Conversation, "ClaimDueFollowUps");
            self.caller.record(call, (&request.idempotency_key, &id), ended, |claim| {
                (id.clone(), Answer::Claim(claim.claim_token.as_str().into()))
            });
        }
        answer.follow_ups
    }

    async fn complete(&self, claim: &ClaimedFollowUp) {
        let follow_up = claim.follow_up.clone().unwrap_or_default();
        let channel = if claim.channel() == Channel::Unspecified { Channel::Web } else { claim.channel() };
        let request = CompleteFollowUpRequest {
            follow_up_id: follow_up.follow_up_id.clone(),
            claim_token: claim.claim_token.clone(),
            message_id: claim.message_id.clone(),
            content: follow_up.content,
            channel: channel.into(),
            sent_at: Some(Utc::now().into()),
        };
        let ended = self.caller.call("CompleteFollowUp", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.follow_ups[replica].clone().complete_follow_up(within(deadline, request.clone())).await
        });
        let call = (Which::Conversation, "CompleteFollowUp");
        self.caller.record(call, (&request.claim_token, &request.follow_up_id), ended.await, |_| {
            (request.follow_up_id.clone(), Answer::Claim(request.claim_token.as_str().into()))
        });
    }

    async fn fail(&self, claim: &ClaimedFollowUp) {
        let request = FailFollowUpRequest {
            follow_up_id: claim.follow_up.as_ref().map(|it| it.follow_up_id.clone()).unwrap_or_default(),
            claim_token: claim.claim_token.clone(),
            reason: FollowUpFailureReason::Timeout.into(),
            permanent: false,
            retry_after_seconds: Some(1),
        };
        let ended = self.caller.call("FailFollowUp", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.follow_ups[replica].clone().fail_follow_up(within(deadline, request.clone())).await
        });
        let call = (Which::Conversation, "FailFollowUp");
        self.caller.record(call, (&request.claim_token, &request.follow_up_id), ended.await, |_| {
            (request.follow_up_id.clone(), Answer::Claim(request.claim_token.as_str().into()))
        });
    }
}
