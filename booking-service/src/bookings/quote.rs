use chrono::{DateTime, Utc};
use teppan_shared::read_error::Corrupted;
use uuid::Uuid;

use super::{
    begin::{SlotWish, offered},
    booking::Booking,
    create::CreateBookingError,
    event_data::EventData,
    fold::fold,
};
use crate::{
    bookings::Bookings,
    domain::{Refusal, Terms},
};

/// What a booking would cost, and under which terms, if it was made now.
pub struct Quote {
    /// The booking as it would be, without ids.
    pub booking: Booking,
    pub terms: Terms,
    /// Until when a cancellation by the customer would give everything back.
    pub full_refund_until: DateTime<Utc>,
}

impl Bookings {
    /// The price, the deposit and the terms of a booking that CreateBooking would make now, in one round trip. No seats are
    /// held.
    ///
    /// # Errors
    /// [`CreateBookingError`]; the refusals are those of CreateBooking.
    pub async fn quote_booking(&self, wish: SlotWish<'_>) -> Result<Quote, CreateBookingError> {
        let now = self.clock.now();
        let preview = self.preview(wish.slot, "QuoteBooking", "", None).await?;
        let preview = preview.ok_or(CreateBookingError::Refused(Refusal::VenueNotFound))?;
        let mut created = offered(&preview, wish, now).map_err(CreateBookingError::Refused)?;
        (created.booking_id, created.customer_id) = (Uuid::nil().to_string(), Uuid::nil().to_string());
        let booking = fold(None, &EventData::BookingCreated(created), now);
        let booking = booking.map_err(|_| Corrupted::Column("slots"))?;
        let terms = preview.venue.terms();
        Ok(Quote { full_refund_until: terms.full_refund_until(booking.starts_at), booking, terms })
    }
}
