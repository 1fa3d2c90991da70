use teppan_shared::{
    contract::booking::v1::{
        ListPaymentsRequest, ListPaymentsResponse, RecordPaymentRequest, RecordPaymentResponse,
        payment_service_server::PaymentService,
    },
    server::answer,
};
use tonic::{Request, Response, Status};

use super::{Grpc, encode, encode_payment::payment, list_payments, record_payment, status};

#[tonic::async_trait]
impl PaymentService for Grpc {
    async fn record_payment(
        &self,
        request: Request<RecordPaymentRequest>,
    ) -> Result<Response<RecordPaymentResponse>, Status> {
        let new = record_payment::decode(request.into_inner(), self.payments.clock.now())?;
        let recorded = self.payments.record_payment(&new).await;
        let recorded = recorded.map_err(|error| status::record_payment(&error, new.booking_id))?;
        let replayed = recorded.replayed;
        let payment = Some(payment(recorded.payment));
        let booking = Some(encode::booking(recorded.booking));
        Ok(answer(RecordPaymentResponse { payment, booking, replayed }, replayed))
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Status> {
        let request = request.into_inner();
        let (query, page_size) = list_payments::decode(&request)?;
        let found = self.payments.list_payments(&query, page_size).await;
        let found = found.map_err(|error| error.to_failure())?;
        Ok(Response::new(list_payments::encode(&request, found)))
    }
}
