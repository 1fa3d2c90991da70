//! Converts the values of this crate to wire types.

use std::fmt::Write as _;

use chrono::{NaiveDate, NaiveTime};
use teppan_shared::{contract::booking::v1 as wire, wire::timestamp};

use crate::{
    bookings::booking::OpenBooking,
    customers::{contact::StoredContact, find::Customer, merged::MergedCustomer},
    domain::{Etag, ScheduleException, SchedulePeriod, SlotRefusal},
    slots::list_availability::SlotAvailability,
    slots::update::Slot,
    venues::get::{StoredSchedule, Venue},
};

pub fn booking(open: OpenBooking) -> wire::Booking {
    let OpenBooking { booking, details } = open;
    let (contact, special_requests, venue_notes, party_notes, tags, stripe_intent_id) = match details {
        Some(it) => {
            (Some(it.contact), it.special_requests, it.venue_notes, it.party_notes, it.tags, it.stripe_intent_id)
        }
        None => Default::default(),
    };
    let (deposit_due_cents, no_show_fee_due_cents) = (booking.deposit_due_cents(), booking.no_show_fee_due_cents());
    wire::Booking {
        booking_id: booking.booking_id.to_string(),
        confirmation_code: booking.confirmation_code,
        status: wire::BookingStatus::from(booking.status).into(),
        venue_id: booking.venue_id.to_string(),
        date: date(booking.slot_date),
        start_time: time(booking.start_time),
        starts_at: Some(timestamp(booking.starts_at)),
        ends_at: Some(timestamp(booking.ends_at)),
        time_zone: booking.time_zone,
        party_size: booking.party_size,
        total_cents: booking.total_cents,
        deposit_cents: booking.deposit_cents,
        deposit_due_cents,
        paid_cents: booking.paid_cents,
        currency: booking.currency,
        hold_expires_at: booking.hold_expires_at.map(timestamp),
        etag: Etag::of(booking.version).to_string(),
        created_at: Some(timestamp(booking.created_at)),
        updated_at: Some(timestamp(booking.updated_at)),
        customer_id: booking.customer_id.to_string(),
        conversation_id: booking.conversation_id,
        special_requests: special_requests.unwrap_or_default(),
        venue_notes: venue_notes.unwrap_or_default(),
        party_notes: party_notes.unwrap_or_default(),
        tags,
        contact: contact.and_then(self::contact),
        erased_at: booking.erased_at.map(timestamp),
        source: booking.source,
        price_per_person_cents: booking.price_per_person_cents,
        version: booking.version,
        refunded_cents: booking.refunded_cents,
        refund_due_cents: booking.refund_due_cents,
        confirmed_at: booking.confirmed_at.map(timestamp),
        cancelled_at: booking.cancelled_at.map(timestamp),
        cancelled_by: booking.cancelled_by.map_or(wire::CancellationInitiator::Unspecified, Into::into).into(),
        waitlist_entry_id: booking.waitlist_entry_id.map_or_else(String::new, |id| id.to_string()),
        area: booking.area.unwrap_or_default(),
        occupied_until: booking.occupied_until.map(timestamp),
        tables: booking.tables.unwrap_or_default(),
        terms: booking.terms.as_deref().map(Into::into),
        retained_cents: booking.retained_cents.unwrap_or(0),
        refund_percent_max: booking.refund_percent_max,
        guest_confirmed_at: booking.guest_confirmed_at.map(timestamp),
        seated_at: booking.seated_at.map(timestamp),
        extras_cents: booking.extras_cents.unwrap_or(0),
        no_show_fee_cents: booking.no_show_fee_cents.unwrap_or(0),
        no_show_fee_due_cents,
        stripe_intent_id: stripe_intent_id.unwrap_or_default(),
    }
}

/// A booking after a change. After a validation the etag is empty, because the booking has not changed.
pub fn changed(open: OpenBooking, validate_only: bool) -> wire::Booking {
    let mut booking = self::booking(open);
    if validate_only {
        booking.etag.clear();
    }
    booking
}

/// Clears the fields that a validated, unsaved booking does not have.
pub fn clear_ids(booking: &mut wire::Booking) {
    for id in [&mut booking.booking_id, &mut booking.customer_id, &mut booking.confirmation_code, &mut booking.etag] {
        id.clear();
    }
    booking.version = 0;
}

pub fn venue(venue: Venue) -> wire::Venue {
    wire::Venue {
        venue_id: venue.venue_id.to_string(),
        name: venue.name,
        time_zone: venue.time_zone,
        currency: venue.currency,
        min_party_size: venue.min_party_size,
        max_party_size: venue.max_party_size,
        notice_minutes: venue.notice_minutes,
        horizon_days: venue.horizon_days,
        hold_minutes: venue.hold_minutes,
        deposit_percent: venue.deposit_percent,
        full_refund_hours: venue.full_refund_hours,
        late_refund_percent: venue.late_refund_percent,
        waitlist_hold_minutes: venue.waitlist_hold_minutes,
        undo_minutes: venue.undo_minutes,
        phone_region: venue.phone_region,
        tags: venue.tags,
        place: venue.place,
        reminders: Some(wire::VenueReminders { minutes_before: venue.reminder_minutes }),
        deposit_per_person_cents: venue.deposit_per_person_cents,
        deposit_fixed_cents: venue.deposit_fixed_cents,
        deposit_min_party_size: venue.deposit_min_party_size,
        minimum_spend_cents: venue.minimum_spend_cents,
        no_show_fee_per_person_cents: venue.no_show_fee_per_person_cents,
        etag: Etag::of(venue.version).to_string(),
        created_at: Some(timestamp(venue.created_at)),
        updated_at: Some(timestamp(venue.updated_at)),
    }
}

pub fn schedule(stored: &StoredSchedule) -> wire::WeeklySchedule {
    wire::WeeklySchedule {
        periods: stored.schedule.periods.iter().map(period).collect(),
        exceptions: stored
            .schedule
            .exceptions
            .iter()
            .map(|(on, exception)| schedule_exception(*on, exception))
            .collect(),
        updated_at: Some(timestamp(stored.updated_at)),
    }
}

pub fn period(period: &SchedulePeriod) -> wire::SchedulePeriod {
    // Decoding has bounded every number far below i32::MAX.
    let minutes = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    wire::SchedulePeriod {
        days: period.days.iter().map(|day| day.number()).collect(),
        first_start: time(period.first_start),
        last_start: time(period.last_start),
        interval_minutes: minutes(period.interval_minutes),
        duration_minutes: minutes(period.duration_minutes),
        capacity: period.capacity,
        price_per_person_cents: period.price_per_person_cents,
        valid_from: period.valid_from.map_or_else(String::new, date),
        valid_until: period.valid_until.map_or_else(String::new, date),
        buffer_minutes: minutes(period.buffer_minutes),
    }
}

fn schedule_exception(on: NaiveDate, exception: &ScheduleException) -> wire::ScheduleException {
    let (closed, capacity, price_per_person_cents) = match exception {
        ScheduleException::Closed => (true, None, None),
        ScheduleException::Special { capacity, price_per_person_cents } => (false, *capacity, *price_per_person_cents),
    };
    wire::ScheduleException { date: date(on), closed, capacity, price_per_person_cents }
}

pub fn slot_availability(slot: &SlotAvailability) -> wire::SlotAvailability {
    wire::SlotAvailability {
        date: date(slot.date),
        start_time: time(slot.start_time),
        starts_at: Some(timestamp(slot.starts_at)),
        ends_at: Some(timestamp(slot.ends_at)),
        capacity: slot.capacity,
        open_seats: slot.capacity - slot.reserved,
        price_per_person_cents: slot.price_per_person_cents,
        bookable: slot.refusal.is_none(),
        unavailable_reason: slot.refusal.map_or(wire::UnavailableReason::Unspecified, unavailable_reason).into(),
        areas: slot
            .areas
            .iter()
            .map(|(area, open_seats)| wire::AreaAvailability {
                area: area.as_str().to_owned(),
                open_seats: *open_seats,
            })
            .collect(),
    }
}

pub fn slot(slot: &Slot) -> wire::Slot {
    wire::Slot {
        venue_id: slot.key.venue_id.to_string(),
        date: date(slot.key.date),
        start_time: time(slot.key.start_time),
        starts_at: Some(timestamp(slot.starts_at)),
        ends_at: Some(timestamp(slot.ends_at)),
        capacity: slot.capacity,
        reserved_seats: slot.reserved,
        closed: slot.closed,
        price_per_person_cents: slot.price_per_person_cents,
    }
}

pub fn unavailable_reason(refusal: SlotRefusal) -> wire::UnavailableReason {
    match refusal {
        SlotRefusal::SlotNotFound => wire::UnavailableReason::SlotNotFound,
        SlotRefusal::SlotClosed => wire::UnavailableReason::SlotClosed,
        SlotRefusal::SlotFull => wire::UnavailableReason::SlotFull,
        SlotRefusal::InsufficientNotice => wire::UnavailableReason::InsufficientNotice,
        SlotRefusal::TooFarAhead => wire::UnavailableReason::TooFarAhead,
        SlotRefusal::PartyTooSmall => wire::UnavailableReason::PartyTooSmall,
        SlotRefusal::PartyTooLarge => wire::UnavailableReason::PartyTooLarge,
    }
}

pub fn customer(customer: Customer) -> wire::Customer {
    wire::Customer {
        customer_id: customer.id.to_string(),
        contact: customer.contact.and_then(contact),
        consents: customer.consents.into_iter().map(super::set_consent::consent).collect(),
        booking_count: customer.booking_count,
        created_at: Some(timestamp(customer.created_at)),
        updated_at: Some(timestamp(customer.updated_at)),
        erased_at: customer.erased_at.map(timestamp),
        etag: Etag::of(customer.version).to_string(),
        merged_into: customer.merged_into.map_or_else(String::new, |id| id.to_string()),
        merged_customers: customer.merged.into_iter().map(merged_customer).collect(),
    }
}

fn merged_customer(customer: MergedCustomer) -> wire::MergedCustomer {
    wire::MergedCustomer {
        customer_id: customer.id.to_string(),
        contact: customer.contact.and_then(contact),
        merged_at: Some(timestamp(customer.merged_at)),
    }
}

/// `None` for a walk-in that gave none.
pub fn contact(contact: StoredContact) -> Option<wire::Contact> {
    (!contact.is_empty()).then(|| wire::Contact {
        name: contact.name,
        email: contact.email.unwrap_or_default(),
        phone: contact.phone.unwrap_or_default(),
    })
}

/// A local date such as `2026-12-05`. A page of slots has thousands of dates and times, so this does not use a chrono
/// format string, which is parsed on every call.
pub fn date(date: NaiveDate) -> String {
    let mut text = String::with_capacity(LONGEST);
    // Writing to a String cannot fail.
    let _ = write!(text, "{date}");
    text
}

/// A local time to the minute, such as `18:00`.
pub fn time(time: NaiveTime) -> String {
    let mut text = String::with_capacity(LONGEST);
    let _ = write!(text, "{time}");
    text.truncate("00:00".len());
    text
}

/// The longest text: a date; a time to the second is shorter.
const LONGEST: usize = "0000-00-00".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_encoded_in_the_form_that_requests_use() {
        let day = NaiveDate::from_ymd_opt(2026, 12, 5).unwrap_or_default();
        assert_eq!(date(day), "2026-12-05");
        assert_eq!(date(NaiveDate::from_ymd_opt(1, 2, 3).unwrap_or_default()), "0001-02-03");
        assert_eq!(time(NaiveTime::MIN), "00:00");
        assert_eq!(time(NaiveTime::from_hms_opt(18, 5, 59).unwrap_or_default()), "18:05");
    }
}
