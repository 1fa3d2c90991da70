use uuid::Uuid;

use super::*;
use crate::{
    bookings::{
        event_data::timestamp,
        fixtures::{START, assert_sound, at, events, occasion, policy, slot_at},
    },
    domain::BookingStatus,
    slots::row::SlotState,
};

/// A waiting entry of this party size; its ids are derived from the size.
fn candidate(party_size: i32) -> Candidate {
    let id = |first: u32| Uuid::from_u128(u128::from(first + party_size.unsigned_abs()));
    Candidate {
        waitlist_entry_id: WaitlistEntryId(id(100)),
        booking_id: BookingId(id(200)),
        customer_id: CustomerId(id(300)),
        party_size,
        conversation_id: "chat-1".to_owned(),
        details_sealed: Some("\\x0102".to_owned()),
        source: "web-chat".to_owned(),
        traceparent: Some("00-trace".to_owned()),
        areas: None,
    }
}

/// A slot with four free seats, for which parties of these sizes wait, in this order.
fn opening(sizes: &[i32]) -> Opening {
    Opening {
        notes: vec![1, 2],
        noted_at: at(0),
        slot: SlotRow { reserved: 6, ..slot_at(18) },
        venue: policy(),
        floor: None,
        candidates: sizes.iter().copied().map(candidate).collect(),
        has_waiting_entries: !sizes.is_empty(),
    }
}

fn verdict(opening: &Opening, minute: i64) -> Verdict {
    let code = ConfirmationCode::parse("K7MX2QPD").expect("a code");
    decide(opening, &occasion(minute), &code).expect("events that can happen")
}

fn offered(opening: &Opening, minute: i64) -> Decision {
    let Verdict::Offer(decision) = verdict(opening, minute) else { panic!("no offer") };
    assert_sound(None, &decision);
    *decision
}

#[test]
fn an_offer_is_a_pending_booking_for_the_waiting_customer() {
    let decision = offered(&opening(&[3]), 10);
    let (booking, next) = (&decision.booking, candidate(3));
    assert_eq!((booking.booking_id, booking.customer_id), (next.booking_id, next.customer_id));
    assert_eq!((booking.status, booking.waitlist_entry_id), (BookingStatus::Pending, Some(next.waitlist_entry_id)));
    assert_eq!((booking.total_cents, booking.deposit_cents), (10_500, 2625));
    assert_eq!((booking.hold_expires_at, booking.starts_at), (Some(at(40)), at(START)));
    assert_eq!((booking.details_sealed.as_deref(), &*booking.source), (Some(&[1, 2][..]), "web-chat"));
    assert_eq!((decision.loaded_version, booking.version), (0, 2));
    assert_eq!(decision.occasion.traceparent.as_deref(), Some("00-trace"), "the trace of the JoinWaitlist call");
    let [seats] = &decision.seats[..] else { panic!("one change of seats") };
    assert_eq!((seats.seats, seats.expects.map(|slot| slot.starts_at)), (3, Some(at(START))));

    let [EventData::BookingCreated(created), EventData::WaitlistOffered(event)] = &events(&decision)[..] else {
        panic!("two events")
    };
    assert_eq!((&created.confirmation_code, created.total_cents), (&"K7MX2QPD".to_owned(), 10_500));
    assert_eq!((event.offer_expires_at, event.deposit_cents), (timestamp(at(40)), 2625));
    assert_eq!(event.waitlist_entry_id, next.waitlist_entry_id.to_string());
}

#[test]
fn an_offer_costs_what_the_venue_asks_for_now() {
    let mut opening = opening(&[2]);
    (opening.venue.minimum_spend_cents, opening.venue.deposit_per_person_cents) = (9000, 500);
    let booking = offered(&opening, 10).booking;
    assert_eq!((booking.total_cents, booking.deposit_cents), (9000, 3250));
    assert_eq!(booking.terms.map(|terms| terms.minimum_spend_cents), Some(9000));
}

#[test]
fn an_offer_is_pending_also_when_no_deposit_is_due() {
    let mut opening = opening(&[2]);
    opening.venue.deposit_percent = 0;
    let booking = offered(&opening, 10).booking;
    assert_eq!((booking.status, booking.deposit_cents), (BookingStatus::Pending, 0));
}

#[test]
fn an_offer_expires_at_the_latest_when_the_slot_begins() {
    let mut opening = opening(&[2]);
    opening.venue.notice_minutes = 0;
    assert_eq!(offered(&opening, START - 10).booking.hold_expires_at, Some(at(START)));
}

#[test]
fn the_first_entry_whose_party_fits_gets_the_offer() {
    let chosen = |sizes: &[i32]| offered(&opening(sizes), 10).booking.party_size;
    assert_eq!(chosen(&[2, 4, 1]), 2);
    assert_eq!(chosen(&[4, 2]), 4);
    assert_eq!(chosen(&[5, 4]), 4);
    let mut minimum_of_three = opening(&[2, 3]);
    minimum_of_three.venue.min_party_size = 3;
    assert_eq!(offered(&minimum_of_three, 10).booking.party_size, 3);
}

#[test]
fn seats_that_no_waiting_party_can_book_are_not_offered() {
    let is_not_offered = |opening: &Opening, minute| matches!(verdict(opening, minute), Verdict::NoCandidate);
    assert!(is_not_offered(&opening(&[]), 10), "no entry waits");
    assert!(is_not_offered(&opening(&[5, 6]), 10), "the parties are too large");
    assert!(is_not_offered(&opening(&[2]), START - 59), "the venue requires an hour's notice");
    for state in [SlotState::Closed, SlotState::Unscheduled] {
        let opening = opening(&[2]);
        let slot = SlotRow { state, ..opening.slot.clone() };
        assert!(is_not_offered(&Opening { slot, ..opening }, 10), "{state:?}");
    }
}

#[test]
fn a_slot_beyond_the_horizon_is_tried_again_when_its_day_comes_within_the_horizon() {
    let mut opening = opening(&[2]);
    opening.venue.horizon_days = 10;
    // The slot's day is the fourteenth from now: in four days it is the tenth.
    assert!(matches!(verdict(&opening, 10), Verdict::NotBefore(due) if due == at(4 * 24 * 60)));
    assert!(matches!(verdict(&opening, 4 * 24 * 60), Verdict::Offer(_)));
    assert!(matches!(verdict(&Opening { has_waiting_entries: false, ..opening }, 10), Verdict::NoCandidate));
}

#[test]
fn a_slot_is_tried_again_in_a_minute_when_the_clock_in_the_venues_row_is_behind_its_time_zone() {
    let mut opening = opening(&[2]);
    opening.venue.horizon_days = 10;
    // By the clock in the venue's row, its days begin an hour later than in its time zone.
    opening.venue.utc_offset_seconds = -3600;
    assert!(matches!(verdict(&opening, 4 * 24 * 60 + 5), Verdict::NotBefore(due) if due == at(4 * 24 * 60 + 6)));
}
