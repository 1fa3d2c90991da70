use teppan_shared::{
    contract::conversation::v1::{
        DiscardDeadLettersRequest, DiscardDeadLettersResponse, GetOutboxStatusRequest, GetOutboxStatusResponse,
        ListDeadLettersRequest, ListDeadLettersResponse, RetryDeadLettersRequest, RetryDeadLettersResponse,
        outbox_service_server::OutboxService,
    },
    outbox::{DeadLetters as _, Settlement},
};
use tonic::{Request, Response, Status};

use super::{Grpc, dead_letters};

#[tonic::async_trait]
impl OutboxService for Grpc {
    async fn get_outbox_status(
        &self,
        _: Request<GetOutboxStatusRequest>,
    ) -> Result<Response<GetOutboxStatusResponse>, Status> {
        let found = self.outbox.get_outbox_status().await.map_err(|error| error.to_failure())?;
        let destinations = found.iter().map(dead_letters::encode_status).collect();
        Ok(Response::new(GetOutboxStatusResponse { destinations }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let page = dead_letters::decode_list(request.into_inner())?;
        let found = self.outbox.list_dead_letters(&page.filter, page.after, page.size).await;
        let found = found.map_err(|error| error.to_failure())?;
        Ok(Response::new(dead_letters::encode_list(&page, found)))
    }

    async fn retry_dead_letters(
        &self,
        request: Request<RetryDeadLettersRequest>,
    ) -> Result<Response<RetryDeadLettersResponse>, Status> {
        let selection = dead_letters::decode_selection(request.into_inner().selection)?;
        let done = self.outbox.settle_dead_letters(Settlement::Retry, &selection).await;
        let done = done.map_err(|error| error.to_failure())?;
        Ok(Response::new(RetryDeadLettersResponse { retried: done.settled, remaining: done.remaining }))
    }

    async fn discard_dead_letters(
        &self,
        request: Request<DiscardDeadLettersRequest>,
    ) -> Result<Response<DiscardDeadLettersResponse>, Status> {
        let selection = dead_letters::decode_selection(request.into_inner().selection)?;
        let done = self.outbox.settle_dead_letters(Settlement::Discard, &selection).await;
        let done = done.map_err(|error| error.to_failure())?;
        Ok(Response::new(DiscardDeadLettersResponse { discarded: done.settled, remaining: done.remaining }))
    }
}
