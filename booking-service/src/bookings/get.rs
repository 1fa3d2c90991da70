use teppan_shared::read_error::ReadError;

use crate::{
    bookings::row::{Booking, BookingRow},
    core::Core,
    domain::{BookingId, ConfirmationCode},
};

/// What a booking is asked for by.
pub enum BookingName {
    Id(BookingId),
    Code(ConfirmationCode),
}

impl Core {
    /// Reads one booking.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_booking(&self, name: &BookingName) -> Result<Booking, ReadError> {
        let (id, code) = match name {
            BookingName::Id(id) => (Some(id.0), None),
            BookingName::Code(code) => (None, Some(code.as_str())),
        };
        let row =
            self.database.fetch_optional(|| sqlx::query_file_as!(BookingRow, "src/bookings/get.sql", id, code)).await?;
        Ok(row.ok_or(ReadError::NotFound)?.open(&self.ring)?)
    }
}
