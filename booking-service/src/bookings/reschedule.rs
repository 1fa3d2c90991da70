use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::contract::events::v1::{self as wire, ConfirmationCause};

use super::{
    booking::{Booking, OpenBooking},
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    confirm::confirmed,
    decision::{Decision, Occasion},
    event_data::{self, EventData},
    load::{Loaded, Wanted},
    refund::{purse, refund_percent},
};
use crate::{
    bookings::Bookings,
    domain::{
        AreaKey, BookingChange, BookingStatus, CancellationInitiator, ChangeRefusal, Duplicate, PartySize, Place,
        Refusal, Sitting, SlotKey, duplicate,
    },
    slots::row::{Seating, SlotRow, seat, slot_refusal, visit_end},
};

/// The requested change of a booking; what is not given stays.
#[derive(Debug, Clone)]
pub struct Reschedule {
    pub target: BookingTarget,
    pub date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    pub party_size: Option<PartySize>,
    /// The price that the customer was shown, in minor units. Another price is refused.
    pub expected_total_cents: Option<i64>,
    /// The area in which the party wants to sit; `None`: the same if it has the seats, otherwise any.
    pub area: Option<AreaKey>,
    /// Whether the customer may have another booking at the new time.
    pub allows_duplicate: bool,
    /// Who wishes the change.
    pub by: CancellationInitiator,
}

impl Bookings {
    /// Moves a booking to another slot of its venue, or changes its party size. At every moment it holds the seats of
    /// exactly one slot.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn reschedule_booking(&self, request: &Reschedule) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let wanted = Wanted { date: request.date, start_time: request.start_time, ..Wanted::default() };
        let decide = |loaded: &Loaded| decide(loaded, request, &occasion);
        self.change(BookingChange::Reschedule, &request.target, &occasion, wanted, decide).await
    }
}

pub fn decide(loaded: &Loaded, request: &Reschedule, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    let slot = SlotKey {
        venue_id: booking.venue_id,
        date: request.date.unwrap_or(booking.slot_date),
        start_time: request.start_time.unwrap_or(booking.start_time),
    };
    let party_size = request.party_size.map_or(booking.party_size, PartySize::get);
    if is_unchanged(loaded, request, slot, party_size) {
        return Err(NoChange::Unchanged);
    }
    allow(booking, request.target.etag, BookingChange::Reschedule)?;
    if booking.hold_expires_at.is_some_and(|at| at <= occasion.at) {
        return Err(NoChange::Refused(ChangeRefusal::HoldExpired));
    }
    // Otherwise a guest who did not come could move the booking, and then cancel it with a full refund.
    if booking.starts_at <= occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotAllowed));
    }
    let refuse = |refusal| NoChange::Refused(ChangeRefusal::Slot(slot, refusal));
    let forbids_duplicate = slot != booking.slot() && !request.allows_duplicate;
    let other = duplicate_at(loaded, party_size).filter(|_| forbids_duplicate);
    // Another offer of the new slot has its own reason, below.
    if let Some(other) = other.filter(|_| !loaded.is_target_offered) {
        return Err(refuse(Refusal::Duplicate(other)));
    }
    let is_smaller_in_place = slot == booking.slot() && party_size < booking.party_size;
    let target = if is_smaller_in_place {
        own_slot(loaded, party_size)
    } else {
        open_slot(loaded, slot, party_size, occasion.at)
    };
    let target = target.map_err(refuse)?;
    let seating = match request.area {
        None if is_smaller_in_place => fewer_seats(loaded, &target, party_size),
        _ => seat_again(loaded, request, &target, party_size).map_err(refuse)?,
    };
    let total_cents = total_cents(loaded, &target, party_size, is_smaller_in_place);
    if request.expected_total_cents.is_some_and(|expected| expected != total_cents) {
        return Err(refuse(Refusal::PriceChanged { total_cents }));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.forbids_duplicate = forbids_duplicate;
    decision.free_seats();
    let kept = kept(loaded, request.by, total_cents, occasion.at);
    decision.apply(rescheduled(loaded, &target, &seating, party_size, total_cents, kept))?;
    if !is_smaller_in_place {
        decision.take_seats(&target);
    } else if decision.booking.area == booking.area {
        decision.keep_seats();
    } else {
        decision.retake_seats();
    }
    if completes_deposit(booking, &decision.booking) {
        decision.apply(confirmed(ConfirmationCause::DepositPaid, false))?;
    }
    // An accepted offer no longer counts as an offer of its slot.
    if loaded.is_target_offered && decision.booking.status == BookingStatus::Pending {
        return Err(NoChange::Refused(ChangeRefusal::AlreadyOffered));
    }
    match other {
        Some(other) => Err(refuse(Refusal::Duplicate(other))),
        None => Ok(decision),
    }
}

/// The customer's other booking at the time of the new slot.
fn duplicate_at(loaded: &Loaded, party_size: i32) -> Option<Duplicate> {
    let target = loaded.target.as_ref()?;
    let until = visit_end(target, loaded.floor.as_deref(), party_size);
    duplicate(loaded.visits.as_deref()?, (target.starts_at, until))
}

/// Whether the booking already is as requested. After newer time zone rules the same local time can be another instant;
/// then the booking must change.
fn is_unchanged(loaded: &Loaded, request: &Reschedule, slot: SlotKey, party_size: i32) -> bool {
    let booking = &loaded.booking;
    booking.status.after(BookingChange::Reschedule).is_some()
        && (slot, party_size) == (booking.slot(), booking.party_size)
        && request.area.as_ref().is_none_or(|area| booking.area.as_deref() == Some(area.as_str()))
        && request.expected_total_cents.is_none_or(|expected| expected == booking.total_cents)
        && loaded.slot.as_ref().is_none_or(|slot| slot.starts_at == booking.starts_at)
}

/// The booking's own slot at the booking's own price and length, for fewer guests. They take seats that the booking
/// has, so neither notice, horizon, the slot's state nor the largest party matters, and what has changed since is not
/// theirs.
fn own_slot(loaded: &Loaded, party_size: i32) -> Result<SlotRow, Refusal> {
    let min_party_size = loaded.venue.min_party_size;
    if party_size < min_party_size {
        return Err(Refusal::PartyTooSmall { min_party_size });
    }
    let (booking, slot) = (&loaded.booking, loaded.slot.as_ref().ok_or(Refusal::SlotNotFound)?);
    Ok(SlotRow {
        price_per_person_cents: booking.price_per_person_cents,
        ends_at: slot.starts_at + (booking.ends_at - booking.starts_at),
        ..(**slot).clone()
    })
}

/// The slot to move to, or in which the party grows, if a new booking could take it.
fn open_slot(loaded: &Loaded, slot: SlotKey, party_size: i32, now: DateTime<Utc>) -> Result<SlotRow, Refusal> {
    let target = loaded.target.as_ref().map(|target| without_own_seats(target, &loaded.booking));
    match slot_refusal(&loaded.venue, target.as_ref(), slot.date, party_size, now) {
        Some(refusal) => Err(refusal),
        None => target.ok_or(Refusal::SlotNotFound),
    }
}

/// The slot as if the booking's own seats in it were free.
fn without_own_seats(target: &SlotRow, booking: &Booking) -> SlotRow {
    let own = if target.key() == booking.slot() { booking.party_size } else { 0 };
    SlotRow { reserved: target.reserved - own, ..target.clone() }
}

/// The price by the booking's own terms. A booking without terms has the venue's, which may ask for more by now, but
/// fewer guests in the same slot never owe more than before.
fn total_cents(loaded: &Loaded, target: &SlotRow, party_size: i32, is_smaller_in_place: bool) -> i64 {
    let total_cents = loaded.terms().total_cents(target.price_per_person_cents, party_size);
    if is_smaller_in_place { total_cents.min(loaded.booking.total_cents) } else { total_cents }
}

/// Where a party sits that becomes smaller in its slot: in its area, and not longer than before.
fn fewer_seats(loaded: &Loaded, target: &SlotRow, party_size: i32) -> Seating {
    let booking = &loaded.booking;
    let ends_at = loaded.floor.as_ref().filter(|_| booking.area.is_some()).map_or(target.ends_at, |state| {
        let sitting = state.floor.sitting(target.starts_at, target.start_time, party_size);
        sitting.ends_at.min(target.ends_at)
    });
    let until = booking.occupied_until.map(|until| ends_at + (until - booking.ends_at));
    let area = booking.area.as_deref().and_then(|area| AreaKey::parse(area).ok());
    let place = area.map(|area| Place { area, tables: booking.tables.clone().unwrap_or_default() });
    let mut seating = Seating { ends_at, place: place.zip(until) };
    // Tables that are too large for the party are left to others if there are smaller ones.
    if let (Some(floor), Some((place, until))) = (&loaded.floor, &mut seating.place)
        && !place.tables.is_empty()
    {
        let sitting = Sitting { starts_at: target.starts_at, ends_at, occupied_until: *until };
        let floor = floor.after(&booking.occupancy(), -booking.party_size);
        if let Ok(smaller) = floor.place(Some(&place.area), &sitting, party_size, &place.tables) {
            *place = smaller;
        }
    }
    seating
}

/// Where the party will sit. The booking's own seats count as open for it, and without a wish it stays in its area if it
/// can.
fn seat_again(loaded: &Loaded, request: &Reschedule, target: &SlotRow, party_size: i32) -> Result<Seating, Refusal> {
    let booking = &loaded.booking;
    let Some(floor) = loaded.floor.as_ref() else { return seat(target, None, request.area.as_ref(), party_size, &[]) };
    let own = booking.area.as_deref().and_then(|area| AreaKey::parse(area).ok());
    let occupancy = booking.occupancy();
    let floor = floor.after(&occupancy, -booking.party_size);
    // Tables of the same keys in another area are not its own.
    let place = |wanted: Option<&AreaKey>| {
        let tables = if wanted == own.as_ref() { &occupancy.tables[..] } else { &[] };
        seat(target, Some(&floor), wanted, party_size, tables)
    };
    match (&request.area, &own) {
        (None, Some(own)) => place(Some(own)).or_else(|_| place(None)),
        (wanted, _) => place(wanted.as_ref()),
    }
}

/// What a change keeps of the money that was paid.
#[derive(Debug, Clone, Copy)]
struct Kept {
    by: CancellationInitiator,
    retained_cents: i64,
    /// The largest price that was paid for; 0 if later changes by the customer give everything back.
    base_cents: i64,
    /// The largest part of the paid amount that later changes by the customer give back.
    refund_percent_max: i32,
}

/// A change by the customer gives back, of what a lower price frees, the part that a cancellation would give back now. A
/// change by the venue gives everything back, and the terms begin anew: the customer did not choose the new time.
fn kept(loaded: &Loaded, by: CancellationInitiator, total_cents: i64, now: DateTime<Utc>) -> Kept {
    let everything_back = Kept { by, retained_cents: 0, base_cents: 0, refund_percent_max: 100 };
    let purse = purse(loaded);
    match refund_percent(loaded, by, now) {
        None | Some(100) => everything_back,
        Some(percent) => Kept {
            retained_cents: purse.retained_at_price(percent, total_cents),
            base_cents: purse.base(),
            refund_percent_max: percent,
            ..everything_back
        },
    }
}

fn rescheduled(
    loaded: &Loaded,
    target: &SlotRow,
    seating: &Seating,
    party_size: i32,
    total_cents: i64,
    kept: Kept,
) -> EventData {
    let (booking, venue) = (&loaded.booking, &loaded.venue);
    let deposit_cents = loaded.terms().deposit_cents(total_cents, party_size, venue.currency);
    // As for the total.
    let is_smaller_in_place = target.key() == booking.slot() && party_size < booking.party_size;
    let deposit_cents = if is_smaller_in_place { deposit_cents.min(booking.deposit_cents) } else { deposit_cents };
    EventData::BookingRescheduled(wire::BookingRescheduled {
        date: target.slot_date.to_string(),
        start_time: target.start_time.format("%H:%M").to_string(),
        starts_at: event_data::timestamp(target.starts_at),
        ends_at: event_data::timestamp(seating.ends_at),
        area: seating.area_name(),
        occupied_until: seating.occupied_until().and_then(event_data::timestamp),
        tables: seating.tables(),
        party_size,
        price_per_person_cents: target.price_per_person_cents,
        total_cents,
        deposit_cents,
        refund_due_cents: (booking.paid_without_extras_cents() - total_cents - kept.retained_cents).max(0),
        retained_cents: Some(kept.retained_cents),
        refund_base_cents: Some(kept.base_cents),
        refund_percent_max: Some(kept.refund_percent_max),
        rescheduled_by: wire::CancellationInitiator::from(kept.by).into(),
        hold_expires_at: booking.hold_expires_at.and_then(|at| event_data::timestamp(at.min(target.starts_at))),
        ..Default::default()
    })
}

/// Whether the change makes the deposit of a pending booking complete. An offer is accepted only by a payment or by
/// ConfirmBooking, so it is not completed while nothing is paid.
fn completes_deposit(before: &Booking, after: &Booking) -> bool {
    after.status.after(BookingChange::PayDeposit).is_some()
        && before.deposit_cents > before.paid_without_extras_cents()
        && after.deposit_cents <= after.paid_without_extras_cents()
        && (after.waitlist_entry_id.is_none() || after.paid_without_extras_cents() > 0)
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{
            START, assert_sound, at, booking_in_status, confirmed_booking, events, occasion, pending_booking, slot_at,
        },
        *,
    };
    use crate::domain::{BookingId, Etag, Visit};

    /// A request for this hour and party size, with the slot that is loaded for it.
    fn request(mut loaded: Loaded, hour: u32, party_size: i32) -> (Loaded, Reschedule) {
        let own = loaded.slot.clone().filter(|_| hour == 18);
        loaded.target = own.or(Some(sqlx::types::Json(slot_at(hour))));
        let target = BookingTarget { booking_id: loaded.booking.booking_id, etag: None, validate_only: false };
        let start_time = loaded.target.as_ref().map(|it| it.start_time);
        let party_size = Some(PartySize::parse(party_size).expect("a party"));
        (
            loaded,
            Reschedule {
                target,
                date: None,
                start_time,
                party_size,
                expected_total_cents: None,
                area: None,
                allows_duplicate: false,
                by: CancellationInitiator::Customer,
            },
        )
    }

    fn decided(loaded: &Loaded, request: &Reschedule) -> Decision {
        let decision = decide(loaded, request, &occasion(10)).expect("rescheduled");
        assert_sound(Some(&loaded.booking), &decision);
        decision
    }

    #[test]
    fn a_booking_moves_with_its_seats_at_the_price_of_the_new_slot() {
        let (mut loaded, request) = request(confirmed_booking(), 19, 3);
        loaded.target.as_mut().expect("a slot").price_per_person_cents = 2000;
        loaded.booking.paid_cents = 7000;
        let decision = decided(&loaded, &request);
        let booking = &decision.booking;
        assert_eq!((booking.starts_at, booking.ends_at), (at(START + 60), at(START + 180)));
        assert_eq!((booking.total_cents, booking.deposit_cents, booking.refund_due_cents), (6000, 1500, 1000));
        assert_eq!(decision.seats.iter().map(|it| it.seats).collect::<Vec<_>>(), [-2, 3]);
        let expects = decision.seats[1].expects.expect("the expected slot");
        assert_eq!((expects.price_per_person_cents, expects.starts_at), (2000, at(START + 60)));
        let [EventData::BookingRescheduled(event)] = &events(&decision)[..] else { panic!("one event") };
        assert_eq!((&*event.previous_start_time, event.previous_party_size), ("18:00", 2));
        assert_eq!((&*event.start_time, event.party_size, event.refund_due_cents), ("19:00", 3, 1000));
        assert!(decision.events[0].concerns_conversation);
    }

    #[test]
    fn a_larger_party_needs_only_the_additional_seats_to_be_free() {
        let (mut loaded, request) = request(confirmed_booking(), 18, 8);
        loaded.target.as_mut().expect("a slot").reserved = 4;
        assert_eq!(decided(&loaded, &request).booking.party_size, 8);
        loaded.target.as_mut().expect("a slot").reserved = 5;
        let refused = decide(&loaded, &request, &occasion(10)).expect_err("full");
        assert_eq!(refused, slot_refused(&loaded, Refusal::SlotFull { open_seats: 7 }));
    }

    fn slot_refused(loaded: &Loaded, refusal: Refusal) -> NoChange {
        NoChange::Refused(ChangeRefusal::Slot(loaded.target.as_ref().expect("a slot").key(), refusal))
    }

    #[test]
    fn fewer_guests_in_the_same_slot_are_accepted_whatever_became_of_the_slot() {
        let (mut loaded, request) = request(confirmed_booking(), 18, 1);
        loaded.booking.paid_cents = 7000;
        let slot = loaded.slot.as_mut().expect("a slot");
        (slot.state, slot.price_per_person_cents, slot.capacity) = (crate::slots::row::SlotState::Closed, 9900, 1);
        slot.ends_at = at(START + 30);
        loaded.target.clone_from(&loaded.slot);
        (loaded.venue.horizon_days, loaded.venue.notice_minutes, loaded.venue.deposit_percent) = (1, 600, 100);
        let decision = decide(&loaded, &request, &occasion(START - 1)).expect("shrunk");
        assert_sound(Some(&loaded.booking), &decision);
        let booking = &decision.booking;
        assert_eq!((booking.party_size, booking.price_per_person_cents, booking.total_cents), (1, 3500, 3500));
        assert_eq!(booking.ends_at, loaded.booking.ends_at);
        assert_eq!(
            (booking.deposit_cents, booking.refund_due_cents),
            (1750, 1750),
            "no more than before, and the late refund"
        );
        let changes: Vec<_> = decision.seats.iter().map(|change| (change.seats, change.expects.is_none())).collect();
        assert_eq!(changes, [(-2, true), (1, true)], "nothing of the slot is expected");

        let refused = |loaded: &Loaded| decide(loaded, &request, &occasion(10)).expect_err("refused");
        loaded.venue.min_party_size = 2;
        assert_eq!(refused(&loaded), slot_refused(&loaded, Refusal::PartyTooSmall { min_party_size: 2 }));
        let elsewhere = Reschedule { start_time: slot_at(19).start_time.into(), ..request };
        loaded.target = Some(sqlx::types::Json(slot_at(19)));
        loaded.venue.min_party_size = 1;
        let refused = decide(&loaded, &elsewhere, &occasion(10)).expect_err("another slot follows the rules");
        assert_eq!(refused, slot_refused(&loaded, Refusal::TooFarAhead { horizon_days: 1 }));
    }

    #[test]
    fn a_booking_is_not_moved_onto_another_one_of_its_customer() {
        let (mut loaded, mut request) = request(confirmed_booking(), 19, 2);
        let other = Visit { booking_id: BookingId::generate(), starts_at: at(START + 90), ends_at: at(START + 210) };
        loaded.visits = Some(sqlx::types::Json(vec![other]));
        let refused = decide(&loaded, &request, &occasion(10)).expect_err("another booking at that time");
        let named = Duplicate { booking_id: other.booking_id, starts_at: other.starts_at };
        assert_eq!(refused, slot_refused(&loaded, Refusal::Duplicate(named)));
        request.allows_duplicate = true;
        assert!(!decided(&loaded, &request).forbids_duplicate);

        let own = Reschedule { start_time: None, party_size: PartySize::parse(3).ok(), ..request.clone() };
        let own = Reschedule { allows_duplicate: false, ..own };
        loaded.target.clone_from(&loaded.slot);
        assert!(!decided(&loaded, &own).forbids_duplicate, "a booking that does not move stays beside the other");
    }

    #[test]
    fn a_rescheduled_hold_ends_at_the_latest_when_the_new_slot_begins() {
        let (mut loaded, request) = request(pending_booking(), 17, 2);
        loaded.booking.hold_expires_at = Some(at(START - 30));
        assert_eq!(decided(&loaded, &request).booking.hold_expires_at, Some(at(START - 60)));
    }

    #[test]
    fn a_booking_is_confirmed_when_its_paid_amount_covers_the_deposit_of_the_new_slot() {
        let (mut loaded, request) = request(pending_booking(), 18, 1);
        loaded.booking.paid_cents = 875;
        let decision = decided(&loaded, &request);
        assert_eq!(decision.booking.status, BookingStatus::Confirmed);
        let [_, EventData::BookingConfirmed(event)] = &events(&decision)[..] else { panic!("two events") };
        assert_eq!(event.cause(), ConfirmationCause::DepositPaid);

        loaded.booking.paid_cents = 874;
        assert_eq!(decided(&loaded, &request).booking.status, BookingStatus::Pending);
        loaded.booking.paid_cents = 0;
        loaded.venue.deposit_percent = 0;
        assert_eq!(decided(&loaded, &request).booking.status, BookingStatus::Confirmed, "no deposit is due any more");
        loaded.booking.waitlist_entry_id = Some(crate::domain::WaitlistEntryId::generate());
        assert_eq!(decided(&loaded, &request).booking.status, BookingStatus::Pending, "an offer must be accepted");
    }

    #[test]
    fn a_reschedule_that_changes_nothing_is_not_committed() {
        let unchanged = |loaded: &Loaded, request: &Reschedule| {
            decide(loaded, request, &occasion(10)).err() == Some(NoChange::Unchanged)
        };
        let (mut loaded, mut same) = request(confirmed_booking(), 18, 2);
        assert!(unchanged(&loaded, &same));
        same.expected_total_cents = Some(7000);
        same.target.etag = Some(Etag::of(1));
        assert!(unchanged(&loaded, &same), "also with an old etag");
        same.target.etag = None;
        loaded.slot.as_mut().expect("a slot").starts_at = at(START + 60);
        loaded.target.clone_from(&loaded.slot);
        assert!(!unchanged(&loaded, &same), "the same local time is another instant now");
    }

    #[test]
    fn each_refused_reschedule_states_its_reason() {
        let refused = |loaded: &Loaded, request: &Reschedule, minute| {
            decide(loaded, request, &occasion(minute)).expect_err("refused")
        };
        let (mut loaded, mut moved) = request(confirmed_booking(), 19, 2);
        assert_eq!(refused(&loaded, &moved, START), NoChange::Refused(ChangeRefusal::NotAllowed), "it has begun");
        moved.target.etag = Some(Etag::of(1));
        assert_eq!(refused(&loaded, &moved, 10), NoChange::StaleEtag);
        moved.target.etag = None;
        moved.expected_total_cents = Some(6999);
        let total_cents = 7000;
        assert_eq!(refused(&loaded, &moved, 10), slot_refused(&loaded, Refusal::PriceChanged { total_cents }));
        moved.expected_total_cents = None;
        let late = slot_refused(&loaded, Refusal::InsufficientNotice { notice_minutes: 120 });
        loaded.venue.notice_minutes = 120;
        assert_eq!(refused(&loaded, &moved, START - 1), late);

        let (mut pending, moved) = request(pending_booking(), 19, 2);
        pending.is_target_offered = true;
        assert_eq!(refused(&pending, &moved, 10), NoChange::Refused(ChangeRefusal::AlreadyOffered));
        pending.is_target_offered = false;
        assert_eq!(refused(&pending, &moved, 120), NoChange::Refused(ChangeRefusal::HoldExpired));
        let missing = Loaded { target: None, ..pending.clone() };
        assert_eq!(refused(&missing, &moved, 10), slot_refused(&pending, Refusal::SlotNotFound));
        for status in [BookingStatus::Cancelled, BookingStatus::Completed, BookingStatus::NoShow] {
            let (ended, moved) = request(booking_in_status(status), 18, 2);
            assert_eq!(refused(&ended, &moved, 10), NoChange::Refused(ChangeRefusal::NotAllowed), "{status:?}");
        }
    }
}
