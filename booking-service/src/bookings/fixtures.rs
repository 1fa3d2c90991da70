//! Fixtures for tests of decisions: a booking of two guests for 70.00 in a fortnight, at a venue that requires a
//! deposit of 25 % and refunds 50 % of a late cancellation.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::types::Json;
use teppan_shared::contract::events::v1 as wire;
use uuid::Uuid;

use super::{
    booking::Booking,
    confirm,
    decision::{Decision, Occasion},
    event_data::{self, EventData},
    fold::fold,
    load::Loaded,
};
use crate::{
    domain::{BookingStatus, Currency, SlotKey, Terms, VenueId},
    slots::row::{SlotRow, SlotState},
    venues::policy::VenuePolicy,
};

pub const VENUE: VenueId = VenueId(Uuid::from_u128(8));
/// The start of the booking, in minutes after `at(0)`: 18:00 in a fortnight.
pub const START: i64 = 14 * 24 * 60 + 18 * 60;

/// This many minutes after midnight of 4 October 2024.
pub fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

/// A change that happens at this minute.
pub fn occasion(minutes: i64) -> Occasion {
    Occasion::of_worker(at(minutes))
}

pub fn euro() -> Currency {
    Currency::parse("EUR").expect("a currency")
}

pub fn policy() -> VenuePolicy {
    VenuePolicy {
        phone_region: "DE".to_owned(),
        hold_minutes: 120,
        time_zone: "Etc/UTC".to_owned(),
        currency: euro(),
        utc_offset_seconds: 0,
        clock_changes_at: None,
        next_utc_offset_seconds: 0,
        min_party_size: 1,
        max_party_size: 8,
        notice_minutes: 60,
        horizon_days: 60,
        waitlist_hold_minutes: 30,
        deposit_percent: 25,
        deposit_per_person_cents: 0,
        deposit_fixed_cents: 0,
        deposit_min_party_size: 0,
        minimum_spend_cents: 0,
        no_show_fee_per_person_cents: 0,
        full_refund_hours: 24,
        late_refund_percent: 50,
        undo_minutes: 60,
    }
}

/// An empty slot of ten seats at this hour of the booking's day.
pub fn slot_at(hour: u32) -> SlotRow {
    let starts_at = at(START + (i64::from(hour) - 18) * 60);
    SlotRow {
        venue_id: VENUE,
        slot_date: NaiveDate::from_ymd_opt(2024, 10, 18).expect("a date"),
        start_time: NaiveTime::from_hms_opt(hour, 0, 0).expect("a time"),
        starts_at,
        ends_at: starts_at + TimeDelta::hours(2),
        capacity: 10,
        reserved: 0,
        price_per_person_cents: 3500,
        state: SlotState::Open,
        has_floor: false,
    }
}

/// The decision that creates the booking under these terms, or without any; its hold ends after two hours.
pub fn created(terms: Option<&Terms>) -> Decision {
    let slot = slot_at(18);
    let created = wire::BookingCreated {
        booking_id: Uuid::from_u128(7).to_string(),
        venue_id: VENUE.to_string(),
        date: slot.slot_date.to_string(),
        start_time: "18:00".to_owned(),
        status: wire::BookingStatus::Pending.into(),
        customer_id: Uuid::from_u128(9).to_string(),
        conversation_id: "chat-1".to_owned(),
        confirmation_code: "K7MX2QPD".to_owned(),
        starts_at: event_data::timestamp(slot.starts_at),
        ends_at: event_data::timestamp(slot.ends_at),
        time_zone: policy().time_zone,
        party_size: 2,
        price_per_person_cents: slot.price_per_person_cents,
        total_cents: 7000,
        deposit_cents: 1750,
        currency: "EUR".to_owned(),
        hold_expires_at: event_data::timestamp(at(120)),
        terms: terms.map(Into::into),
        ..Default::default()
    };
    let mut decision = Decision::create(EventData::BookingCreated(created), &occasion(0)).expect("a first event");
    decision.take_seats(&slot);
    decision
}

/// The pending booking, before its deposit is paid.
pub fn pending_booking() -> Loaded {
    of_booking(created(None).booking)
}

/// The confirmed booking, without a paid deposit.
pub fn confirmed_booking() -> Loaded {
    of_booking(confirm::decide(&pending_booking(), None, &occasion(1)).expect("confirmed").booking)
}

/// The booking with this status; its other fields are those of the confirmed booking.
pub fn booking_in_status(status: BookingStatus) -> Loaded {
    let mut loaded = confirmed_booking();
    loaded.booking.status = status;
    loaded
}

fn of_booking(booking: Booking) -> Loaded {
    Loaded {
        has_waiting_entries: false,
        is_target_offered: false,
        visits: None,
        ended_at: None,
        booking,
        is_done: false,
        venue: Json(policy()),
        slot: Some(Json(SlotRow { reserved: 2, ..slot_at(18) })),
        target: None,
        floor: None,
        charge: None,
        refunds: None,
        others_hold_until: None,
        prior_fingerprint: None,
        prior_payment: None,
    }
}

/// The events of a decision, read from their stored JSON.
pub fn events(decision: &Decision) -> Vec<EventData> {
    let read = |event: &super::decision::NewEvent| event_data::read(&event.stored.kind, &event.stored.data);
    decision.events.iter().map(read).collect::<Result<_, _>>().expect("events that read back")
}

/// Checks what must be true for every decision: folding its stored events leads from the booking before to the booking
/// after, and its changes of seats are the difference between the two.
pub fn assert_sound(before: Option<&Booking>, decision: &Decision) {
    assert_eq!(decision.loaded_version, before.map_or(0, |before| before.version));
    let mut folded = before.cloned();
    for (stored, event) in decision.events.iter().map(|event| &event.stored).zip(events(decision)) {
        let previous = folded.as_ref().map_or(&[][..], |it| &it.event_hash);
        assert_eq!((&stored.previous_hash[..], &stored.hash[..]), (previous, &stored.computed_hash()[..]));
        let after = fold(folded.as_ref(), &event, stored.occurred_at).expect("an event that can happen");
        assert_eq!(after.version, stored.version);
        folded = Some(Booking { event_hash: stored.hash.clone(), ..after });
    }
    let after = &decision.booking;
    // These fields are not in the events.
    let Booking { details_sealed, erased_at, source, .. } = after.clone();
    let folded = Booking { details_sealed, erased_at, source, ..folded.expect("a booking") };
    assert_eq!(&folded, after);
    assert_eq!(after.impossible(), [""; 0], "{after:?}");

    let moved = |slot: SlotKey| -> i32 { decision.seats.iter().filter(|it| it.slot == slot).map(|it| it.seats).sum() };
    for slot in decision.seats.iter().map(|it| it.slot).chain(before.map(Booking::slot)).chain([after.slot()]) {
        assert_eq!(moved(slot), seats_in(Some(after), slot) - seats_in(before, slot), "{slot:?}");
    }
}

/// The seats that a booking takes in a slot.
pub fn seats_in(booking: Option<&Booking>, slot: SlotKey) -> i32 {
    let takes = |booking: &&Booking| {
        booking.slot() == slot && matches!(booking.status, BookingStatus::Pending | BookingStatus::Confirmed)
    };
    booking.filter(takes).map_or(0, |booking| booking.party_size)
}
