use sqlx::{FromRow as _, postgres::PgRow};
use teppan_shared::read_error::ReadError;

use crate::{
    bookings::Bookings,
    bookings::booking::{Booking, OpenBooking},
    domain::{BookingId, ConfirmationCode},
};

const GET: &str = include_str!("get.sql");

/// How a booking is looked up.
pub enum BookingLookup {
    Id(BookingId),
    Code(ConfirmationCode),
}

impl Bookings {
    /// Reads one booking.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_booking(&self, name: &BookingLookup) -> Result<OpenBooking, ReadError> {
        let (id, code) = match name {
            BookingLookup::Id(id) => (Some(id.0), None),
            BookingLookup::Code(code) => (None, Some(code.as_str())),
        };
        let get = || sqlx::query(GET).bind(id).bind(code).try_map(|row: PgRow| Booking::from_row(&row));
        let row = self.database.fetch_optional(get).await?;
        Ok(row.ok_or(ReadError::NotFound)?.open(&self.ring)?)
    }
}
