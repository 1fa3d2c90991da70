use teppan_shared::contract::conversation::v1::{
    CancelFollowUpRequest, CancelFollowUpResponse, ListFollowUpsRequest, ListFollowUpsResponse,
    ScheduleFollowUpRequest, ScheduleFollowUpResponse, follow_up_service_server::FollowUpService,
};
use tonic::{Request, Response, Status};

use super::{Grpc, cancel_follow_up, list_follow_ups, schedule_follow_up, status};

#[tonic::async_trait]
impl FollowUpService for Grpc {
    async fn schedule_follow_up(
        &self,
        request: Request<ScheduleFollowUpRequest>,
    ) -> Result<Response<ScheduleFollowUpResponse>, Status> {
        let new = schedule_follow_up::decode(request.into_inner())?;
        let scheduled = self.core.schedule_follow_up(&new).await.map_err(|error| status::schedule_follow_up(&error))?;
        schedule_follow_up::encode(scheduled).map(Response::new)
    }

    async fn list_follow_ups(
        &self,
        request: Request<ListFollowUpsRequest>,
    ) -> Result<Response<ListFollowUpsResponse>, Status> {
        let wanted = list_follow_ups::decode(request.into_inner())?;
        let page = self
            .core
            .list_follow_ups(&wanted.filter, wanted.order, wanted.after, wanted.page_size)
            .await
            .map_err(|error| status::list_follow_ups(&error))?;
        list_follow_ups::encode(&wanted, page).map(Response::new)
    }

    async fn cancel_follow_up(
        &self,
        request: Request<CancelFollowUpRequest>,
    ) -> Result<Response<CancelFollowUpResponse>, Status> {
        let (key, which) = cancel_follow_up::decode(request.into_inner())?;
        let cancelled =
            self.core.cancel_follow_up(key.as_ref(), &which).await.map_err(|error| status::cancel_follow_up(&error))?;
        cancel_follow_up::encode(cancelled).map(Response::new)
    }
}
