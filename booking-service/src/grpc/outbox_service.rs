use super::Grpc;
use crate::domain::BookingId;

teppan_shared::outbox_service! {
    booking for Grpc, operations: |grpc| grpc.outbox,
    aggregate: booking_id by |id| BookingId::parse(&id).map(|id| id.to_string())
}
