use std::sync::Arc;

use futures::StreamExt as _;
use teppan_shared::{
    contract::booking::v1::{
        CreateBookingRequest, CreateBookingResponse, GetBookingRequest, GetBookingResponse, StreamBookingEventsRequest,
        StreamBookingEventsResponse, booking_service_server::BookingService,
    },
    server::Bounds,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Grpc, create_booking, encode, get_booking, status, stream_booking_events};

#[tonic::async_trait]
impl BookingService for Grpc {
    async fn create_booking(
        &self,
        request: Request<CreateBookingRequest>,
    ) -> Result<Response<CreateBookingResponse>, Status> {
        let reply_by = request.extensions().get::<Bounds>().map_or_else(Instant::now, Bounds::ends_at);
        let new = create_booking::decode(request.into_inner(), self.phone_region)?;
        let created = self.core.create_booking(&new, reply_by).await;
        let created = created.map_err(|error| status::create_booking(&error, &new))?;
        let booking = Some(encode::booking(created.booking));
        Ok(Response::new(CreateBookingResponse { booking, replayed: created.replayed }))
    }

    async fn get_booking(&self, request: Request<GetBookingRequest>) -> Result<Response<GetBookingResponse>, Status> {
        let request = request.into_inner();
        let name = get_booking::decode(&request)?;
        let asked_for = format!("{}{}", request.booking_id, request.confirmation_code);
        let booking =
            self.core.get_booking(&name).await.map_err(|error| status::read(&error, status::BOOKING, &asked_for))?;
        Ok(Response::new(GetBookingResponse { booking: Some(encode::booking(booking)) }))
    }
    async fn stream_booking_events(
        &self,
        request: Request<StreamBookingEventsRequest>,
    ) -> Result<Response<BoxStream<StreamBookingEventsResponse>>, Status> {
        let request = stream_booking_events::decode(request.into_inner())?;
        let steps = Arc::clone(&self.core).stream_booking_events(request).await;
        let steps = steps.map_err(|error| status::stream(&error))?;
        let steps = steps.map(|step| step.map(stream_booking_events::encode).map_err(|error| status::stream(&error)));
        Ok(Response::new(Box::pin(steps)))
    }
}
