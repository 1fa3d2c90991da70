//! The errors that the contract documents.

mod database_unavailable;
mod limits;
mod metadata;
mod reasons;
mod requests;

use teppan_shared::contract::booking::v1::CreateBookingRequest;
use teppan_tests::clients::BookingClients;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Code and reason of an error. Asserts that the error has a message and an `ErrorInfo`.
pub fn kind(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "teppan");
    assert!(!status.message().is_empty());
    (status.code(), info.reason)
}

async fn create(clients: &mut BookingClients, request: impl tonic::IntoRequest<CreateBookingRequest>) -> Status {
    clients.bookings.create_booking(request).await.expect_err("it is refused")
}
