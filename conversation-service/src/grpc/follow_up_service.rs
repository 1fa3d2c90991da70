use teppan_shared::{
    contract::conversation::v1::{
        CancelFollowUpRequest, CancelFollowUpResponse, ClaimDueFollowUpsRequest, ClaimDueFollowUpsResponse,
        CompleteFollowUpRequest, CompleteFollowUpResponse, DeleteCustomerRequest, DeleteCustomerResponse,
        FailFollowUpRequest, FailFollowUpResponse, ListFollowUpsRequest, ListFollowUpsResponse, RecordConsentRequest,
        RecordConsentResponse, ScheduleFollowUpRequest, ScheduleFollowUpResponse,
        follow_up_service_server::FollowUpService,
    },
    server::{Bounds, answer},
};
use tonic::{Request, Response, Status};

use super::{
    Grpc, cancel_follow_up, claim_due_follow_ups, complete_follow_up, consents, encode, fail_follow_up,
    list_follow_ups, schedule_follow_up, status,
};

#[tonic::async_trait]
impl FollowUpService for Grpc {
    async fn schedule_follow_up(
        &self,
        request: Request<ScheduleFollowUpRequest>,
    ) -> Result<Response<ScheduleFollowUpResponse>, Status> {
        let new = schedule_follow_up::decode(request.into_inner())?;
        let scheduled = self.follow_ups.schedule(&new).await.map_err(|error| status::schedule_follow_up(&error))?;
        let replayed = scheduled.replayed;
        Ok(answer(schedule_follow_up::encode(scheduled), replayed))
    }

    async fn list_follow_ups(
        &self,
        request: Request<ListFollowUpsRequest>,
    ) -> Result<Response<ListFollowUpsResponse>, Status> {
        let requested = list_follow_ups::decode(request.into_inner())?;
        let page = self
            .follow_ups
            .list(&requested.filter, requested.order, requested.after, requested.page_size)
            .await
            .map_err(|error| status::list_follow_ups(&error, &requested))?;
        Ok(Response::new(list_follow_ups::encode(&requested, page)))
    }

    async fn cancel_follow_up(
        &self,
        request: Request<CancelFollowUpRequest>,
    ) -> Result<Response<CancelFollowUpResponse>, Status> {
        let (key, which) = cancel_follow_up::decode(request.into_inner())?;
        let cancelled =
            self.follow_ups.cancel(key.as_ref(), &which).await.map_err(|error| status::cancel_follow_up(&error))?;
        Ok(Response::new(cancel_follow_up::encode(cancelled)))
    }

    async fn claim_due_follow_ups(
        &self,
        request: Request<ClaimDueFollowUpsRequest>,
    ) -> Result<Response<ClaimDueFollowUpsResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let (claim, wait) = claim_due_follow_ups::decode(request.into_inner())?;
        let until = claim_due_follow_ups::wait_until(wait, &bounds);
        let claimed = self.follow_ups.claim(&claim, until, &bounds).await;
        let claimed = claimed.map_err(|error| status::claim_due_follow_ups(&error))?;
        Ok(Response::new(claim_due_follow_ups::encode(claimed)))
    }

    async fn complete_follow_up(
        &self,
        request: Request<CompleteFollowUpRequest>,
    ) -> Result<Response<CompleteFollowUpResponse>, Status> {
        let sent = complete_follow_up::decode(request.into_inner(), self.clock.now())?;
        let completed = self.follow_ups.complete(&sent).await;
        let completed = completed.map_err(|error| status::complete_follow_up(&error, &sent.follow_up_id))?;
        let replayed = completed.replayed;
        Ok(answer(complete_follow_up::encode(completed), replayed))
    }

    async fn fail_follow_up(
        &self,
        request: Request<FailFollowUpRequest>,
    ) -> Result<Response<FailFollowUpResponse>, Status> {
        let failure = fail_follow_up::decode(request.get_ref())?;
        let failed = self.follow_ups.fail(&failure).await;
        let failed = failed.map_err(|error| status::fail_follow_up(&error, &failure.follow_up_id))?;
        Ok(Response::new(FailFollowUpResponse { follow_up: Some(encode::follow_up(failed)) }))
    }

    async fn record_consent(
        &self,
        request: Request<RecordConsentRequest>,
    ) -> Result<Response<RecordConsentResponse>, Status> {
        let consent = consents::record(request.get_ref())?;
        let recorded = self.follow_ups.record_consent(&consent).await.map_err(|error| error.to_failure())?;
        Ok(Response::new(consents::encode_recorded(recorded)))
    }

    async fn delete_customer(
        &self,
        request: Request<DeleteCustomerRequest>,
    ) -> Result<Response<DeleteCustomerResponse>, Status> {
        let id = consents::delete(request.get_ref())?;
        let deleted = self.follow_ups.delete_customer(id).await.map_err(|error| error.to_failure())?;
        Ok(Response::new(consents::encode_deleted(deleted)))
    }
}
