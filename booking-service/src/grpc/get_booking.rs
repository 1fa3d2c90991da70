use teppan_shared::{contract::booking::v1::GetBookingRequest, status::Violations};
use tonic::Status;

use crate::{
    bookings::get::BookingName,
    domain::{BookingId, ConfirmationCode},
};

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: &GetBookingRequest) -> Result<BookingName, Status> {
    let mut violations = Violations::default();
    let name = match (request.booking_id.as_str(), request.confirmation_code.as_str()) {
        (id, "") => {
            let id = BookingId::parse(id).map_err(|must| format!("{must}; or ask by confirmation_code instead"));
            violations.check("booking_id", id).map(BookingName::Id)
        }
        ("", code) => violations.check("confirmation_code", ConfirmationCode::parse(code)).map(BookingName::Code),
        _ => {
            violations.add("booking_id", "must be given alone: ask by booking_id or by confirmation_code");
            None
        }
    };
    name.ok_or_else(|| violations.into_status())
}
