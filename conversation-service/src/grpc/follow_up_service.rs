use teppan_shared::{
    contract::conversation::v1::{
        ClaimDueFollowUpsRequest, ClaimDueFollowUpsResponse, CompleteFollowUpRequest, CompleteFollowUpResponse,
        FailFollowUpRequest, FailFollowUpResponse, follow_up_service_server::FollowUpService,
    },
    server::Bounds,
};
use tonic::{Request, Response, Status};

use super::{Grpc, claim_due_follow_ups, complete_follow_up, encode, fail_follow_up, status};

#[tonic::async_trait]
impl FollowUpService for Grpc {
    async fn claim_due_follow_ups(
        &self,
        request: Request<ClaimDueFollowUpsRequest>,
    ) -> Result<Response<ClaimDueFollowUpsResponse>, Status> {
        let bounds = request.extensions().get::<Bounds>().cloned();
        let (claim, wait) = claim_due_follow_ups::decode(request.into_inner())?;
        let until = claim_due_follow_ups::wait_until(wait, bounds.as_ref());
        let draining = async {
            match &bounds {
                Some(bounds) => bounds.draining().await,
                None => std::future::pending().await,
            }
        };
        let claimed = self.core.claim_due_follow_ups(&claim, until, draining).await;
        let claimed = claimed.map_err(|error| status::claim_due_follow_ups(&error))?;
        Ok(Response::new(claim_due_follow_ups::encode(claimed)?))
    }

    async fn complete_follow_up(
        &self,
        request: Request<CompleteFollowUpRequest>,
    ) -> Result<Response<CompleteFollowUpResponse>, Status> {
        let sent = complete_follow_up::decode(request.into_inner(), self.core.clock.now())?;
        let completed = self.core.complete_follow_up(&sent).await;
        let completed = completed.map_err(|error| status::complete_follow_up(&error, &sent.follow_up_id))?;
        Ok(Response::new(complete_follow_up::encode(completed)?))
    }

    async fn fail_follow_up(
        &self,
        request: Request<FailFollowUpRequest>,
    ) -> Result<Response<FailFollowUpResponse>, Status> {
        let failure = fail_follow_up::decode(request.into_inner())?;
        let failed = self.core.fail_follow_up(&failure).await;
        let failed = failed.map_err(|error| status::fail_follow_up(&error, &failure.follow_up_id))?;
        Ok(Response::new(FailFollowUpResponse { follow_up: Some(encode::follow_up(failed)?) }))
    }
}
