use crate::{
    bookings::change::{BookingTarget, ChangeAnswer, ChangeBookingError},
    bookings::row::Booking,
    core::Core,
    domain::{BookingChange, CancellationInitiator},
};

impl Core {
    /// Gives a booking up: frees its seats and settles what is to be given back, in one round trip.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn cancel_booking(
        &self,
        target: &BookingTarget,
        cancelled_by: CancellationInitiator,
    ) -> Result<Booking, ChangeBookingError> {
        let draft = self.draft_of(BookingChange::Cancel);
        self.change(&draft, || {
            sqlx::query_file_as!(
                ChangeAnswer,
                "src/bookings/cancel.sql",
                target.booking_id.0,
                target.version(),
                &draft.allowed_from,
                draft.event_id.0,
                draft.traceparent.as_deref(),
                &draft.destinations,
                draft.now,
                cancelled_by.as_column(),
            )
        })
        .await
    }
}
