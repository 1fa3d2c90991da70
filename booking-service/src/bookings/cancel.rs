use chrono::{DateTime, Utc};
use teppan_shared::contract::events::v1 as wire;

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::EventData,
    load::{Loaded, Wanted},
    refund::{purse, refund_percent},
};
use crate::{
    bookings::Bookings,
    domain::{BookingChange, BookingStatus, CancellationInitiator, ChangeRefusal, Etag},
};

impl Bookings {
    /// Cancels a booking that has not begun, or, for the venue, has not ended, and frees its seats.
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
    // A guest who does not come must not get a refund by cancelling late. The venue may have to send guests home.
    let ends_at = if by == CancellationInitiator::Venue { booking.ends_at } else { booking.starts_at };
    if ends_at <= occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotAllowed));
    }
    let kept_cents = kept_cents(loaded, by, occasion.at);
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.apply(EventData::BookingCancelled(wire::BookingCancelled {
        cancelled_by: wire::CancellationInitiator::from(by).into(),
        refund_due_cents: (booking.paid_without_extras_cents() - kept_cents).max(0),
        kept_cents,
        ..Default::default()
    }))?;
    Ok(decision)
}

/// The part of the received money that the venue keeps when a booking is cancelled.
fn kept_cents(loaded: &Loaded, by: CancellationInitiator, now: DateTime<Utc>) -> i64 {
    refund_percent(loaded, by, now).map_or(0, |percent| purse(loaded).kept_if_cancelled(percent))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{
        super::fixtures::{
            START, assert_sound, at, booking_in_status, confirmed_booking, events, occasion, pending_booking,
        },
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
    fn the_refund_of_a_cancellation_depends_on_its_time_and_initiator() {
        use CancellationInitiator::{Customer, Venue};
        // Time before the start; initiator; late refund in percent; paid; owed before; owed after.
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
            // Half a cent and more is refunded.
            (INSTANT, Customer, 50, 3333, 0, 1667),
            (INSTANT, Customer, 33, 1, 0, 0),
            (INSTANT, Customer, 33, 5, 0, 2),
            (INSTANT, Customer, 1, 50, 0, 1),
            // An overpaid amount is owed in full, for any policy.
            (INSTANT, Customer, 50, 9000, 2000, 5500),
            (INSTANT, Customer, 0, 9000, 2000, 2000),
            (DAY, Customer, 0, 9000, 2000, 9000),
        ] {
            let what = format!("{ahead} ahead, {by:?}, {percent} %, {paid} paid");
            let mut loaded = confirmed_booking();
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
                "{what}: the event has the same amounts"
            );
            assert_eq!((event.paid_cents, event.cancelled_by()), (paid, by.into()), "{what}");
        }
    }

    #[test]
    fn cancelling_a_booking_whose_hold_has_expired_refunds_everything() {
        let mut loaded = pending_booking();
        loaded.venue.full_refund_hours = 8760;
        loaded.booking.paid_cents = 1000;
        let before_hold_ends = |ahead: TimeDelta| loaded.booking.starts_at - at(120) + ahead;
        let customer = CancellationInitiator::Customer;
        let before = cancel(&loaded, customer, before_hold_ends(INSTANT)).expect("before the hold ends");
        assert_eq!(before.booking.refund_due_cents, 500);
        let after = cancel(&loaded, customer, before_hold_ends(TimeDelta::zero())).expect("after the hold has ended");
        assert_eq!(after.booking.refund_due_cents, 1000);
    }

    #[test]
    fn disputed_money_counts_as_received_in_a_cancellation() {
        let mut loaded = confirmed_booking();
        (loaded.booking.paid_cents, loaded.booking.disputed_cents) = (1000, 6000);
        let decision = cancel(&loaded, CancellationInitiator::Customer, INSTANT).expect("cancelled");
        assert_eq!((decision.booking.kept_cents, decision.booking.refund_due_cents), (3500, 0));
    }

    #[test]
    fn the_refund_of_a_cancellation_is_an_amount_that_stripe_can_move() {
        let mut loaded = confirmed_booking();
        loaded.venue.currency = crate::domain::Currency::parse("KWD").expect("a currency");
        loaded.booking.paid_cents = 5030;
        let decision = cancel(&loaded, CancellationInitiator::Customer, INSTANT).expect("cancelled");
        assert_eq!((decision.booking.kept_cents, decision.booking.refund_due_cents), (2510, 2520));
    }

    #[test]
    fn a_booking_is_cancelled_once_before_it_begins_and_by_the_venue_until_it_ends() {
        let by = CancellationInitiator::Venue;
        let refused = |loaded: &Loaded, ahead| cancel(loaded, by, ahead).expect_err("refused");
        assert_eq!(refused(&booking_in_status(BookingStatus::Cancelled), DAY), NoChange::Unchanged);
        for ended in [BookingStatus::Expired, BookingStatus::Completed, BookingStatus::NoShow] {
            assert_eq!(
                refused(&booking_in_status(ended), DAY),
                NoChange::Refused(ChangeRefusal::NotAllowed),
                "{ended:?}"
            );
        }
        let not_allowed = NoChange::Refused(ChangeRefusal::NotAllowed);
        let customer = CancellationInitiator::Customer;
        assert_eq!(cancel(&confirmed_booking(), customer, TimeDelta::zero()).expect_err("it has begun"), not_allowed);
        let mut paid = confirmed_booking();
        (paid.booking.paid_cents, paid.venue.late_refund_percent) = (7000, 0);
        let cancelled = cancel(&paid, by, INSTANT - TimeDelta::hours(2)).expect("the guests are sent home");
        assert_eq!((cancelled.booking.refund_due_cents, cancelled.booking.kept_cents), (7000, 0));
        assert_eq!(refused(&confirmed_booking(), TimeDelta::hours(-2)), not_allowed, "it has ended");
        let stale = decide(&confirmed_booking(), Some(Etag::of(1)), by, &occasion(START - 60)).expect_err("refused");
        assert_eq!(stale, NoChange::StaleEtag);
        decide(&confirmed_booking(), Some(Etag::of(2)), by, &occasion(START - 60)).expect("the etag is current");
    }
}
