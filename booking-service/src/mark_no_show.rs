use crate::{
    booking_row::Booking,
    change_booking::{BookingTarget, ChangeAnswer, ChangeBookingError},
    core::Core,
    domain::BookingChange,
};

impl Core {
    /// Notes that the customer of a booking did not come, in one round trip.
    ///
    /// # Errors
    /// [`ChangeBookingError`]; whatever it is, nothing was written.
    pub async fn mark_no_show(&self, target: &BookingTarget) -> Result<Booking, ChangeBookingError> {
        let draft = self.draft_of(BookingChange::MarkNoShow);
        self.change(&draft, || {
            sqlx::query_file_as!(
                ChangeAnswer,
                "queries/mark_no_show.sql",
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
