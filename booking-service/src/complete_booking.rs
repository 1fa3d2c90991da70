use crate::{
    booking_row::Booking,
    change_booking::{BookingTarget, ChangeAnswer, ChangeBookingError},
    core::Core,
    domain::BookingChange,
};

impl Core {
    /// Notes that a booking has taken place, in one round trip.
    ///
    /// # Errors
    /// [`ChangeBookingError`]; whatever it is, nothing was written.
    pub async fn complete_booking(&self, target: &BookingTarget) -> Result<Booking, ChangeBookingError> {
        let draft = self.draft_of(BookingChange::Complete);
        self.change(&draft, || {
            sqlx::query_file_as!(
                ChangeAnswer,
                "queries/complete_booking.sql",
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
