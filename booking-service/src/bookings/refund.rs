//! What a change of a booking gives back of the money that was paid for it.

use chrono::{DateTime, Utc};

use super::load::Loaded;
use crate::domain::{CancellationInitiator, Purse, step_cents};

/// The part of the paid amount that a change gives back at a moment, in percent. `None`: everything that was ever paid,
/// because the venue makes the change, or because the hold has run out.
///
/// The start that the booking has now decides. A booking that the customer changed late keeps the percentage of that
/// moment, so moving it away from a late refund and cancelling it then gives back no more than cancelling it at once.
pub fn refund_percent(loaded: &Loaded, by: CancellationInitiator, now: DateTime<Utc>) -> Option<i32> {
    let booking = &loaded.booking;
    let hold_has_expired = booking.hold_expires_at.is_some_and(|at| at <= now);
    if by == CancellationInitiator::Venue || hold_has_expired {
        return None;
    }
    let percent = loaded.terms().refund_percent(booking.starts_at, now);
    Some(booking.refund_percent_max.map_or(percent, |max| percent.min(max)))
}

pub fn purse(loaded: &Loaded) -> Purse {
    let booking = &loaded.booking;
    Purse {
        received_cents: booking.paid_without_extras_cents() + booking.disputed_cents,
        total_cents: booking.total_cents,
        base_cents: booking.refund_base_cents.unwrap_or(0),
        step_cents: step_cents(loaded.venue.currency),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use sqlx::types::Json;

    use super::{
        super::{
            booking::Booking,
            cancel,
            change::BookingTarget,
            fixtures::{START, assert_sound, at, confirmed_booking, occasion, slot_at},
            reschedule::{self, Reschedule},
        },
        *,
    };
    use crate::{domain::PartySize, slots::row::SlotRow};

    /// The confirmed booking of two guests, completely paid, under these terms.
    fn paid_booking(full_refund_hours: i32, late_refund_percent: i32) -> Loaded {
        let mut loaded = confirmed_booking();
        (loaded.venue.full_refund_hours, loaded.venue.late_refund_percent) = (full_refund_hours, late_refund_percent);
        loaded.booking.terms = Some(Json(loaded.venue.terms()));
        loaded.booking.paid_cents = 7000;
        loaded
    }

    /// A slot on the booking's own day or some days later.
    fn slot(days: i64, price_cents: i64) -> SlotRow {
        let own = slot_at(18);
        SlotRow {
            slot_date: own.slot_date + TimeDelta::days(days),
            starts_at: own.starts_at + TimeDelta::days(days),
            ends_at: own.ends_at + TimeDelta::days(days),
            price_per_person_cents: price_cents,
            ..own
        }
    }

    fn moved(loaded: &Loaded, to: &SlotRow, party_size: i32, by: CancellationInitiator, minute: i64) -> Option<Loaded> {
        let loaded = Loaded { target: Some(Json(to.clone())), ..loaded.clone() };
        let request = Reschedule {
            target: BookingTarget { booking_id: loaded.booking.booking_id, etag: None, validate_only: false },
            date: Some(to.slot_date),
            start_time: Some(to.start_time),
            party_size: PartySize::parse(party_size).ok(),
            expected_total_cents: None,
            area: None,
            by,
            allows_duplicate: false,
        };
        let decision = reschedule::decide(&loaded, &request, &occasion(minute)).ok()?;
        assert_sound(Some(&loaded.booking), &decision);
        let slot = SlotRow { reserved: party_size, ..to.clone() };
        Some(Loaded { booking: decision.booking, slot: Some(Json(slot)), ..loaded })
    }

    fn cancelled(loaded: &Loaded, minute: i64) -> Booking {
        let customer = CancellationInitiator::Customer;
        cancel::decide(loaded, None, customer, &occasion(minute)).expect("cancelled").booking
    }

    const CUSTOMER: CancellationInitiator = CancellationInitiator::Customer;

    #[test]
    fn moving_a_booking_away_from_its_late_refund_does_not_bring_the_full_refund_back() {
        let booking = paid_booking(24, 50);
        let late = moved(&booking, &slot(7, 3500), 2, CUSTOMER, START - 60).expect("moved");
        assert_eq!((late.booking.refund_percent_max, late.booking.retained_cents), (Some(50), None));
        assert_eq!(cancelled(&late, START).refund_due_cents, 3500);
        let in_time = moved(&booking, &slot(7, 3500), 2, CUSTOMER, START - 24 * 60).expect("moved");
        assert_eq!(in_time.booking.refund_percent_max, None);
        assert_eq!(cancelled(&in_time, START).refund_due_cents, 7000);
    }

    #[test]
    fn a_smaller_party_gets_the_part_back_that_a_cancellation_would_give() {
        for (percent, due, retained) in [(0, 0, Some(3500)), (50, 1750, Some(1750)), (100, 3500, None)] {
            let shrunk = moved(&paid_booking(24, percent), &slot(0, 3500), 1, CUSTOMER, START - 60).expect("shrunk");
            assert_eq!(
                (shrunk.booking.refund_due_cents, shrunk.booking.retained_cents),
                (due, retained),
                "{percent} %"
            );
            let grown = moved(&shrunk, &slot(0, 3500), 2, CUSTOMER, START - 60).expect("grown");
            assert_eq!((grown.booking.retained_cents, grown.booking.refund_due_cents), (None, 0), "{percent} %");
            let kept = 7000 - i64::from(percent) * 70;
            assert_eq!(cancelled(&grown, START - 60).kept_cents, kept, "{percent} %");
        }
    }

    #[test]
    fn a_change_by_the_venue_gives_everything_back_and_the_terms_begin_anew() {
        let venue = CancellationInitiator::Venue;
        let late = moved(&paid_booking(24, 0), &slot(0, 3500), 1, CUSTOMER, START - 60).expect("shrunk");
        assert_eq!((late.booking.refund_percent_max, late.booking.refund_due_cents), (Some(0), 0));
        let moved = moved(&late, &slot(7, 3500), 1, venue, START - 60).expect("moved");
        assert_eq!((moved.booking.refund_percent_max, moved.booking.retained_cents), (None, None));
        assert_eq!(moved.booking.refund_due_cents, 3500);
        assert_eq!(cancelled(&moved, START).refund_due_cents, 7000);
    }

    #[test]
    fn the_terms_of_the_booking_hold_and_not_those_of_the_venue() {
        let mut booking = paid_booking(24, 50);
        (booking.venue.full_refund_hours, booking.venue.late_refund_percent) = (8760, 0);
        booking.venue.deposit_percent = 100;
        assert_eq!(cancelled(&booking, START - 24 * 60).refund_due_cents, 7000);
        assert_eq!(cancelled(&booking, START - 60).refund_due_cents, 3500);
        let moved = moved(&booking, &slot(7, 3500), 4, CUSTOMER, START - 60).expect("moved");
        assert_eq!((moved.booking.deposit_cents, &moved.booking.terms), (3500, &booking.booking.terms));
        booking.booking.terms = None;
        assert_eq!(cancelled(&booking, START - 60).refund_due_cents, 0, "made before terms were kept");
    }

    proptest! {
        /// Whatever a customer moves and shrinks before cancelling: it gives back no more than cancelling at the first
        /// change would have.
        #[test]
        fn no_sequence_of_changes_by_the_customer_gives_back_more_than_cancelling_at_once(
            full_refund_hours in 0..72,
            late_refund_percent in 0..=100,
            paid_cents in 0_i64..9000,
            first_minute in START - 4 * 24 * 60..START,
            changes in prop::collection::vec(
                (0_i64..3000, 0_i64..30, 1_i64..5000, 1..=8, any::<bool>(), any::<bool>()), 1..8),
        ) {
            let mut loaded = paid_booking(full_refund_hours, late_refund_percent);
            loaded.booking.paid_cents = paid_cents;
            loaded.booking.refund_due_cents = (paid_cents - loaded.booking.total_cents).max(0);
            let at_once = cancelled(&loaded, first_minute).refund_due_cents;
            let (mut minute, mut refunded) = (first_minute, 0);
            for (pause, days, price_cents, party_size, stays, pays_refund) in changes {
                let own = loaded.slot.clone().expect("a slot").0;
                let to = if stays { own } else { slot(days, price_cents) };
                loaded = moved(&loaded, &to, party_size, CUSTOMER, minute).unwrap_or(loaded);
                if pays_refund {
                    let due = std::mem::take(&mut loaded.booking.refund_due_cents);
                    loaded.booking.paid_cents -= due;
                    refunded += due;
                }
                let start = (loaded.booking.starts_at - at(0)).num_minutes();
                minute = (minute + pause).min(start - 1);
            }
            let in_all = refunded + cancelled(&loaded, minute).refund_due_cents;
            prop_assert!(in_all <= at_once, "{in_all} of {at_once}: {:?}", loaded.booking);
        }
    }
}
