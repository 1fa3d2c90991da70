use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::events::v1 as wire;

use super::{
    booking::{Booking, OpenBooking},
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::EventData,
    load::{Loaded, Wanted},
};
use crate::{
    core::Core,
    domain::{BookingChange, BookingStatus, CancellationInitiator, ChangeRefusal, Etag, step_cents},
    venues::policy::VenuePolicy,
};

impl Core {
    /// Cancels a booking that has not begun, and frees its seats.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn cancel_booking(
        &self,
        target: &BookingTarget,
        by: CancellationInitiator,
    ) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let cancel = |loaded: &Loaded| decide(loaded, target.etag, by, &occasion);
        self.change(BookingChange::Cancel, target, &occasion, Wanted::default(), cancel).await
    }
}

fn decide(
    loaded: &Loaded,
    etag: Option<Etag>,
    by: CancellationInitiator,
    occasion: &Occasion,
) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == BookingStatus::Cancelled {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::Cancel)?;
    if booking.starts_at <= occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotAllowed));
    }
    let kept_cents = kept_cents(booking, &loaded.venue, by, occasion.at);
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.happen(EventData::BookingCancelled(wire::BookingCancelled {
        cancelled_by: wire::CancellationInitiator::from(by).into(),
        refund_due_cents: (booking.paid_cents - kept_cents).max(0),
        kept_cents,
        ..Default::default()
    }))?;
    Ok(decision)
}

/// What the venue keeps of what it received for a booking that is cancelled.
///
/// Nothing, when the venue cancels, when the customer cancels in time, or when the hold has run out. Else it gives
/// back its percentage of what was received, up to the price. Half a cent and more is given back; where Stripe moves
/// only multiples of some cents, the venue keeps a multiple. What a bank has taken and may give back counts as
/// received, so that it is owed like the rest if it comes back.
fn kept_cents(booking: &Booking, venue: &VenuePolicy, by: CancellationInitiator, now: DateTime<Utc>) -> i64 {
    let is_in_time = now <= booking.starts_at - TimeDelta::hours(venue.full_refund_hours.into());
    let has_run_out = booking.hold_expires_at.is_some_and(|at| at <= now);
    if by == CancellationInitiator::Venue || is_in_time || has_run_out {
        return 0;
    }
    let received = (booking.paid_cents + booking.disputed_cents).min(booking.total_cents);
    let given_back = (received * i64::from(venue.late_refund_percent) + 50) / 100;
    let step = step_cents(venue.currency);
    (received - given_back) / step * step
}
