use teppan_shared::contract::events::v1::{self as wire, ConfirmationCause};

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::EventData,
    load::{Loaded, Wanted},
};
use crate::{
    core::Core,
    domain::{BookingChange, BookingStatus, ChangeRefusal, Etag},
};

impl Core {
    /// Makes a booking that waits firm, whether its deposit is paid or not.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn confirm_booking(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let confirm = |loaded: &Loaded| decide(loaded, target.etag, &occasion);
        self.change(BookingChange::Confirm, target, &occasion, Wanted::default(), confirm).await
    }
}

fn decide(loaded: &Loaded, etag: Option<Etag>, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == BookingStatus::Confirmed {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::Confirm)?;
    // The seats count as taken until the worker frees them, but they are promised no longer.
    if booking.hold_expires_at.is_some_and(|at| at <= occasion.at) {
        return Err(NoChange::Refused(ChangeRefusal::HoldExpired));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.happen(confirmed(ConfirmationCause::Requested, false))?;
    Ok(decision)
}

/// A booking becomes firm.
pub fn confirmed(cause: ConfirmationCause, seats_retaken: bool) -> EventData {
    EventData::BookingConfirmed(wire::BookingConfirmed { cause: cause.into(), seats_retaken, ..Default::default() })
}
