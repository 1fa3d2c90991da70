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
    domain::{BookingChange, BookingStatus, ChangeRefusal, Etag},
};

/// One way in which a booking that has begun can end.
pub struct End {
    change: BookingChange,
    status: BookingStatus,
    event: fn(&Loaded) -> EventData,
}

pub const COMPLETED: End = End {
    change: BookingChange::Complete,
    status: BookingStatus::Completed,
    event: |_| EventData::BookingCompleted(wire::BookingCompleted::default()),
};

pub const NO_SHOW: End = End {
    change: BookingChange::MarkNoShow,
    status: BookingStatus::NoShow,
    // No fee without terms of its own: its guest has agreed to none.
    event: |loaded| no_show(&loaded.booking, fee_cents(loaded)),
};

/// A no-show whose fee the venue waives.
pub const NO_SHOW_WITHOUT_FEE: End = End { event: |loaded| no_show(&loaded.booking, 0), ..NO_SHOW };

fn fee_cents(loaded: &Loaded) -> i64 {
    let Loaded { booking, venue, .. } = loaded;
    booking.terms.as_deref().map_or(0, |terms| terms.no_show_fee_cents(booking.party_size, venue.currency))
}

/// What was paid counts towards the fee, also what was owed to the customer: no party owes while the other one does.
fn no_show(booking: &Booking, fee_cents: i64) -> EventData {
    let kept_cents = booking.price_and_retained_cents().max(fee_cents);
    EventData::BookingNoShow(wire::BookingNoShow {
        no_show_fee_cents: Some(fee_cents),
        refund_due_cents: Some((booking.paid_without_extras_cents() - kept_cents).max(0)),
        ..Default::default()
    })
}

impl Bookings {
    /// Marks a confirmed booking as completed: the guests came.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn complete_booking(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        self.end(target, &COMPLETED).await
    }

    /// Marks a confirmed booking as a no-show: the guests did not come. They owe the fee of the booking's terms, unless
    /// the venue waives it.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn mark_no_show(
        &self,
        target: &BookingTarget,
        waives_fee: bool,
    ) -> Result<OpenBooking, ChangeBookingError> {
        self.end(target, if waives_fee { &NO_SHOW_WITHOUT_FEE } else { &NO_SHOW }).await
    }

    async fn end(&self, target: &BookingTarget, end: &End) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let decide = |loaded: &Loaded| decide(loaded, target.etag, end, &occasion);
        self.change(end.change, target, &occasion, Wanted::default(), decide).await
    }
}

pub fn decide(loaded: &Loaded, etag: Option<Etag>, end: &End, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == end.status {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, end.change)?;
    if booking.starts_at > occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotStarted));
    }
    if end.status == BookingStatus::NoShow && booking.seated_at.is_some() {
        return Err(NoChange::Refused(ChangeRefusal::Seated));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.apply((end.event)(loaded))?;
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlx::types::Json;

    use super::{
        super::{
            fixtures::{START, assert_sound, booking_in_status, confirmed_booking, events, occasion},
            reinstate,
        },
        *,
    };
    use crate::domain::{Currency, Terms};

    /// The confirmed booking of two guests for 70.00, with a fee of this much for each of them.
    fn with_fee(cents_per_person: i64) -> Loaded {
        let mut loaded = confirmed_booking();
        let terms = Terms { no_show_fee_per_person_cents: cents_per_person, ..loaded.venue.terms() };
        loaded.booking.terms = Some(Json(terms));
        loaded
    }

    fn missed(loaded: &Loaded, end: &End) -> Decision {
        let decision = decide(loaded, None, end, &occasion(START)).expect("ended");
        assert_sound(Some(&loaded.booking), &decision);
        decision
    }

    #[test]
    fn guests_who_do_not_come_owe_the_fee_that_they_have_not_paid() {
        // The fee for each of two guests; paid, of it extras; the fee, what is due of it, and what is owed to them.
        for (each, paid, extras, fee, due, owed) in [
            (0, 0, 0, None, 0, 0),
            (1000, 0, 0, Some(2000), 2000, 0),
            (1000, 1750, 0, Some(2000), 250, 0),
            (1000, 1750, 500, Some(2000), 750, 0),
            (1000, 7000, 0, Some(2000), 0, 0),
            (1000, 9000, 0, Some(2000), 0, 2000),
            // A fee beyond the price is paid from what was owed.
            (4000, 9000, 0, Some(8000), 0, 1000),
            (5000, 9000, 0, Some(10_000), 1000, 0),
        ] {
            let mut loaded = with_fee(each);
            (loaded.booking.paid_cents, loaded.booking.extras_cents) = (paid, Some(extras).filter(|it| *it > 0));
            loaded.booking.refund_due_cents = (paid - extras - 7000).max(0);
            let decision = missed(&loaded, &NO_SHOW);
            let booking = &decision.booking;
            let seen = (booking.no_show_fee_cents, booking.no_show_fee_due_cents(), booking.refund_due_cents);
            assert_eq!(seen, (fee, due, owed), "{each} {paid}");
            let [EventData::BookingNoShow(event)] = &events(&decision)[..] else { panic!("one event") };
            let published = (event.no_show_fee_cents, event.no_show_fee_due_cents, event.refund_due_cents);
            assert_eq!(published, (Some(fee.unwrap_or(0)), Some(due), Some(owed)));

            let waived = missed(&loaded, &NO_SHOW_WITHOUT_FEE).booking;
            assert_eq!((waived.no_show_fee_cents, waived.refund_due_cents), (None, loaded.booking.refund_due_cents));
        }
    }

    #[test]
    fn a_fee_is_rounded_up_to_an_amount_that_stripe_can_charge() {
        let mut loaded = with_fee(1003);
        loaded.venue.currency = Currency::parse("KWD").expect("a currency");
        assert_eq!(missed(&loaded, &NO_SHOW).booking.no_show_fee_cents, Some(2010), "of 2006 fils");
    }

    #[test]
    fn a_booking_without_terms_of_its_own_has_no_fee() {
        let mut loaded = with_fee(1000);
        loaded.booking.terms = None;
        loaded.venue.no_show_fee_per_person_cents = 1000;
        assert_eq!(missed(&loaded, &NO_SHOW).booking.no_show_fee_cents, None);
    }

    proptest! {
        /// Whatever was paid: the venue keeps the larger of the price and the fee, no party owes while the other one
        /// does, and taking the no-show back restores what was owed.
        #[test]
        fn a_fee_is_taken_once_and_given_back_when_the_no_show_is_taken_back(
            each in 0_i64..9000, paid in 0_i64..20_000, more in 0_i64..20_000,
        ) {
            let mut loaded = with_fee(each);
            loaded.booking.paid_cents = paid;
            loaded.booking.refund_due_cents = (paid - 7000).max(0);
            let mut after = Loaded { booking: missed(&loaded, &NO_SHOW).booking, ..loaded.clone() };
            let no_show = &after.booking;
            prop_assert!(no_show.no_show_fee_due_cents() == 0 || no_show.refund_due_cents == 0, "{no_show:?}");
            prop_assert_eq!(no_show.no_show_fee_due_cents(), (2 * each - paid).max(0));
            let kept = no_show.paid_cents - no_show.refund_due_cents;
            prop_assert_eq!(kept, paid.min(7000.max(2 * each)));
            after.booking.paid_cents += more;
            after.ended_at = Some(occasion(START).at);
            after.slot.as_mut().expect("a slot").reserved = 0;
            let back = reinstate::decide(&after, None, &occasion(START + 1)).expect("reinstated").booking;
            prop_assert_eq!((back.no_show_fee_cents, back.refund_due_cents), (None, (paid + more - 7000).max(0)));
        }
    }

    #[test]
    fn ending_a_confirmed_booking_that_has_begun_frees_its_seats() {
        for (end, concerns_conversation) in [(&COMPLETED, false), (&NO_SHOW, true)] {
            let loaded = confirmed_booking();
            let decision = decide(&loaded, Some(Etag::of(2)), end, &occasion(START)).expect("ended");
            assert_sound(Some(&loaded.booking), &decision);
            assert_eq!((decision.booking.status, decision.seats[0].seats), (end.status, -2));
            let [event] = &decision.events[..] else { panic!("one event") };
            assert_eq!(event.concerns_conversation, concerns_conversation, "{:?}", end.change);
        }
    }

    #[test]
    fn a_booking_that_is_not_confirmed_or_has_not_begun_cannot_be_ended() {
        for end in [&COMPLETED, &NO_SHOW] {
            let refused = |loaded: &Loaded, etag, minute| decide(loaded, etag, end, &occasion(minute)).expect_err("no");
            assert_eq!(refused(&booking_in_status(end.status), Some(Etag::of(1)), START), NoChange::Unchanged);
            assert_eq!(refused(&confirmed_booking(), None, START - 1), NoChange::Refused(ChangeRefusal::NotStarted));
            assert_eq!(refused(&confirmed_booking(), Some(Etag::of(1)), START), NoChange::StaleEtag);
            let others = [
                BookingStatus::Pending,
                BookingStatus::Cancelled,
                BookingStatus::Expired,
                if end.status == BookingStatus::NoShow { BookingStatus::Completed } else { BookingStatus::NoShow },
            ];
            for status in others {
                let refusal = refused(&booking_in_status(status), None, START);
                assert_eq!(refusal, NoChange::Refused(ChangeRefusal::NotAllowed), "{status:?}");
            }
        }
    }
}
