use teppan_shared::{
    contract::booking::v1::{self as wire, CancelBookingRequest},
    status::Violations,
};
use tonic::Status;

use super::change_booking;
use crate::{bookings::change::BookingTarget, domain::CancellationInitiator};

/// Decodes the request, or returns every violation.
pub fn decode(request: CancelBookingRequest) -> Result<(BookingTarget, CancellationInitiator), Status> {
    let mut violations = Violations::default();
    let cancelled_by = initiator("cancelled_by", request.cancelled_by, &mut violations);
    let target = change_booking::target(&request.booking_id, request.etag, request.validate_only, &mut violations);
    target.zip(cancelled_by).ok_or_else(|| violations.into_status())
}

/// Who wishes a change; by default the customer.
pub(super) fn initiator(field: &str, raw: i32, violations: &mut Violations) -> Option<CancellationInitiator> {
    match wire::CancellationInitiator::try_from(raw) {
        Ok(wire::CancellationInitiator::Unspecified | wire::CancellationInitiator::Customer) => {
            Some(CancellationInitiator::Customer)
        }
        Ok(wire::CancellationInitiator::Venue) => Some(CancellationInitiator::Venue),
        Err(_) => {
            violations.add(field, "must be a CancellationInitiator");
            None
        }
    }
}
