use chrono::{NaiveDate, NaiveTime};

use crate::{
    bookings::change::{BookingTarget, ChangeAnswer, ChangeBookingError},
    bookings::row::Booking,
    core::Core,
    domain::{BookingChange, ChangeRefusal, PartySize, SlotKey},
};

/// What a booking is to become; what is not given stays.
#[derive(Debug, Clone, Copy)]
pub struct Reschedule {
    pub target: BookingTarget,
    pub date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    pub party_size: Option<PartySize>,
    /// What the customer was told, in minor units: refused at another price.
    pub expected_total_cents: Option<i64>,
}

impl Core {
    /// Moves a booking to another slot of its venue, or changes its party size, in one round trip. At no
    /// time does it hold no seats, or those of both slots.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn reschedule_booking(&self, wish: &Reschedule) -> Result<Booking, ChangeBookingError> {
        let draft = self.draft_of(BookingChange::Reschedule);
        // What was paid may be all of the new deposit.
        let firm = self.draft_of(BookingChange::PayDeposit);
        let changed = self.change(&draft, || {
            sqlx::query_file_as!(
                ChangeAnswer,
                "src/bookings/reschedule.sql",
                wish.target.booking_id.0,
                wish.target.version(),
                &draft.allowed_from,
                draft.event_id.0,
                draft.traceparent.as_deref(),
                &draft.destinations,
                draft.now,
                wish.date,
                wish.start_time,
                wish.party_size.map(PartySize::get),
                wish.expected_total_cents,
                &firm.allowed_from,
                firm.event_id.0,
            )
        });
        changed.await.map_err(|error| wish.about_the_new_slot(error))
    }
}

impl Reschedule {
    /// The statement answers the booking as it stands, in its old slot; a refusal is about the new one.
    fn about_the_new_slot(&self, error: ChangeBookingError) -> ChangeBookingError {
        match error {
            ChangeBookingError::Refused { change, status, refusal: ChangeRefusal::Slot(old, why) } => {
                let new = SlotKey {
                    venue_id: old.venue_id,
                    date: self.date.unwrap_or(old.date),
                    start_time: self.start_time.unwrap_or(old.start_time),
                };
                ChangeBookingError::Refused { change, status, refusal: ChangeRefusal::Slot(new, why) }
            }
            error => error,
        }
    }
}
