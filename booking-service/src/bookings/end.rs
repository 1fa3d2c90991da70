//! What CompleteBooking and MarkNoShow do.

use crate::{
    bookings::change::{BookingTarget, ChangeAnswer, ChangeBookingError},
    bookings::row::Booking,
    core::Core,
    domain::{BookingChange, BookingStatus},
};

impl Core {
    /// Notes that a booking has taken place, in one round trip.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn complete_booking(&self, target: &BookingTarget) -> Result<Booking, ChangeBookingError> {
        self.end_booking(target, &COMPLETED).await
    }

    /// Notes that the customer of a booking did not come, in one round trip.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn mark_no_show(&self, target: &BookingTarget) -> Result<Booking, ChangeBookingError> {
        self.end_booking(target, &NO_SHOW).await
    }

    async fn end_booking(&self, target: &BookingTarget, end: &End) -> Result<Booking, ChangeBookingError> {
        let draft = self.draft_of(end.change);
        self.change(&draft, || {
            sqlx::query_file_as!(
                ChangeAnswer,
                "src/bookings/end.sql",
                target.booking_id.0,
                target.version(),
                &draft.allowed_from,
                draft.event_id.0,
                draft.traceparent.as_deref(),
                &draft.destinations,
                draft.now,
                end.status.as_column(),
                end.event_type,
                end.calls_off_follow_up,
            )
        })
        .await
    }
}

/// One way in which the time of a booking can be over.
struct End {
    change: BookingChange,
    status: BookingStatus,
    event_type: &'static str,
    /// Nobody is asked how it was who was not there; after a visit the follow-up stands.
    calls_off_follow_up: bool,
}

const COMPLETED: End = End {
    change: BookingChange::Complete,
    status: BookingStatus::Completed,
    event_type: "teppan.booking.completed.v1",
    calls_off_follow_up: false,
};

const NO_SHOW: End = End {
    change: BookingChange::MarkNoShow,
    status: BookingStatus::NoShow,
    event_type: "teppan.booking.no_show.v1",
    calls_off_follow_up: true,
};
