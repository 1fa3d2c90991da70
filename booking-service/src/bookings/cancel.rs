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
    bookings::Bookings,
    domain::{BookingChange, BookingStatus, CancellationInitiator, ChangeRefusal, Etag, step_cents},
    venues::policy::VenuePolicy,
};

impl Bookings {
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

pub fn decide(
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

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{START, assert_sound, at, events, firm, in_status, occasion, pending},
        *,
    };

    const DAY: TimeDelta = TimeDelta::hours(24);
    const INSTANT: TimeDelta = TimeDelta::microseconds(1);

    fn cancel(loaded: &Loaded, by: CancellationInitiator, ahead: TimeDelta) -> Result<Decision, NoChange> {
        let occasion = Occasion::of_worker(loaded.booking.starts_at - ahead);
        let decision = decide(loaded, None, by, &occasion)?;
        assert_sound(Some(&loaded.booking), &decision);
        Ok(decision)
    }

    #[test]
    fn what_is_given_back_depends_on_when_and_on_whose_wish() {
        use CancellationInitiator::{Customer, Venue};
        // Ahead of the start; on whose wish; the late share in percent; paid; owed before; owed after.
        for (ahead, by, percent, paid, owed, due) in [
            (TimeDelta::days(14), Customer, 50, 7000, 0, 7000),
            (DAY, Customer, 50, 7000, 0, 7000),
            (DAY - INSTANT, Customer, 50, 7000, 0, 3500),
            (INSTANT, Customer, 50, 7000, 0, 3500),
            (DAY - INSTANT, Venue, 50, 7000, 0, 7000),
            (INSTANT, Venue, 0, 7000, 0, 7000),
            (INSTANT, Customer, 50, 0, 0, 0),
            (DAY, Customer, 0, 0, 0, 0),
            (INSTANT, Customer, 0, 7000, 0, 0),
            (INSTANT, Customer, 100, 7000, 0, 7000),
            // Half a cent and more is the customer's.
            (INSTANT, Customer, 50, 3333, 0, 1667),
            (INSTANT, Customer, 33, 1, 0, 0),
            (INSTANT, Customer, 33, 5, 0, 2),
            (INSTANT, Customer, 1, 50, 0, 1),
            // What was paid too much is owed whole, whatever the policy says about the rest.
            (INSTANT, Customer, 50, 9000, 2000, 5500),
            (INSTANT, Customer, 0, 9000, 2000, 2000),
            (DAY, Customer, 0, 9000, 2000, 9000),
        ] {
            let what = format!("{ahead} ahead, {by:?}, {percent} %, {paid} paid");
            let mut loaded = firm();
            loaded.venue.late_refund_percent = percent;
            (loaded.booking.paid_cents, loaded.booking.refund_due_cents) = (paid, owed);
            let decision = cancel(&loaded, by, ahead).expect(&what);
            let booking = &decision.booking;
            assert_eq!((booking.status, booking.cancelled_by), (BookingStatus::Cancelled, Some(by)), "{what}");
            assert_eq!((booking.refund_due_cents, booking.kept_cents), (due, paid - due), "{what}");
            let [EventData::BookingCancelled(event)] = &events(&decision)[..] else { panic!("{what}: one event") };
            assert_eq!(
                (event.refund_due_cents, event.kept_cents),
                (due, paid - due),
                "{what}: the event says the same"
            );
            assert_eq!((event.paid_cents, event.cancelled_by()), (paid, by.into()), "{what}");
        }
    }

    #[test]
    fn a_hold_that_has_run_out_owes_everything_back() {
        let mut loaded = pending();
        loaded.venue.full_refund_hours = 8760;
        loaded.booking.paid_cents = 1000;
        let at_hold = |ahead: TimeDelta| loaded.booking.starts_at - at(120) + ahead;
        let customer = CancellationInitiator::Customer;
        assert_eq!(cancel(&loaded, customer, at_hold(INSTANT)).expect("in time").booking.refund_due_cents, 500);
        assert_eq!(cancel(&loaded, customer, at_hold(TimeDelta::zero())).expect("late").booking.refund_due_cents, 1000);
    }

    #[test]
    fn what_a_bank_has_taken_counts_as_received() {
        let mut loaded = firm();
        (loaded.booking.paid_cents, loaded.booking.disputed_cents) = (1000, 6000);
        let decision = cancel(&loaded, CancellationInitiator::Customer, INSTANT).expect("cancelled");
        assert_eq!((decision.booking.kept_cents, decision.booking.refund_due_cents), (3500, 0));
    }

    #[test]
    fn what_the_venue_keeps_leaves_an_amount_that_stripe_can_move() {
        let mut loaded = firm();
        loaded.venue.currency = crate::domain::Currency::parse("KWD").expect("a currency");
        loaded.booking.paid_cents = 5030;
        let decision = cancel(&loaded, CancellationInitiator::Customer, INSTANT).expect("cancelled");
        assert_eq!((decision.booking.kept_cents, decision.booking.refund_due_cents), (2510, 2520));
    }

    #[test]
    fn a_booking_is_cancelled_once_and_before_it_begins() {
        let by = CancellationInitiator::Venue;
        let refused = |loaded: &Loaded, ahead| cancel(loaded, by, ahead).expect_err("refused");
        assert_eq!(refused(&in_status(BookingStatus::Cancelled), DAY), NoChange::Unchanged);
        for ended in [BookingStatus::Expired, BookingStatus::Completed, BookingStatus::NoShow] {
            assert_eq!(refused(&in_status(ended), DAY), NoChange::Refused(ChangeRefusal::NotAllowed), "{ended:?}");
        }
        assert_eq!(refused(&firm(), TimeDelta::zero()), NoChange::Refused(ChangeRefusal::NotAllowed));
        let stale = decide(&firm(), Some(Etag::of(1)), by, &occasion(START - 60)).expect_err("refused");
        assert_eq!(stale, NoChange::StaleEtag);
        decide(&firm(), Some(Etag::of(2)), by, &occasion(START - 60)).expect("the version is the one that was read");
    }
}
