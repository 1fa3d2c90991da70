use crate::{
    bookings::change::{BookingTarget, ChangeAnswer, ChangeBookingError},
    bookings::row::Booking,
    core::Core,
    domain::BookingChange,
};

impl Core {
    /// Makes a booking that waits firm, in one round trip.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn confirm_booking(&self, target: &BookingTarget) -> Result<Booking, ChangeBookingError> {
        let draft = self.draft_of(BookingChange::Confirm);
        self.change(&draft, || {
            sqlx::query_file_as!(
                ChangeAnswer,
                "src/bookings/confirm.sql",
                target.booking_id.0,
                target.version(),
                &draft.allowed_from,
                draft.event_id.0,
                draft.traceparent.as_deref(),
                &draft.destinations,
                draft.now,
            )
        })
        .await
    }
}
