//! Derives bookings from their events alone, and checks the event chains.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use teppan_shared::contract::{
    booking::v1::{Booking as WireBooking, BookingEvent, StreamBookingEventsRequest, booking_event::Data},
    events::v1 as events,
};
use teppan_shared::wire::Timestamp;

use super::state::{Booking, Model, moment};
use crate::clients::BookingClients;

/// Compares every booking with the state derived from its events.
///
/// # Errors
/// The first disagreement.
pub async fn compare(model: &Model, mut clients: BookingClients) -> Result<(), String> {
    let request = StreamBookingEventsRequest::default();
    let stream = clients.bookings.stream_booking_events(request).await.map_err(|status| status.to_string())?;
    let steps: Vec<_> = stream.into_inner().try_collect().await.map_err(|status| status.to_string())?;
    let mut events: BTreeMap<String, Vec<BookingEvent>> = BTreeMap::new();
    for event in steps.into_iter().filter_map(|step| step.event) {
        events.entry(event.subject.clone()).or_default().push(event);
    }
    for booking in &model.bookings {
        let id = &booking.proto.booking_id;
        let events = events.remove(id).unwrap_or_default();
        chain(&events).and_then(|()| history(booking, &events)).map_err(|what| format!("Events of {id}: {what}"))?;
        let mut derived = WireBooking::default();
        for event in &events {
            apply(&mut derived, event);
        }
        // Events do not carry the etag, the special requests, the notes or the source.
        let proto = WireBooking {
            special_requests: String::new(),
            venue_notes: String::new(),
            contact: None,
            source: String::new(),
            ..booking.proto.clone()
        };
        if derived != proto {
            return Err(format!("The events of {id} give\n{derived:#?}\nand not\n{proto:#?}"));
        }
    }
    if events.is_empty() { Ok(()) } else { Err(format!("There are events without a booking: {:?}", events.keys())) }
}

/// Checks that versions are dense and that each event has the hash of the event before it.
fn chain(events: &[BookingEvent]) -> Result<(), String> {
    let mut before: &[u8] = &[];
    for (version, event) in (1..).zip(events) {
        if event.booking_version != version {
            return Err(format!("version {} is at position {version}", event.booking_version));
        }
        if event.previous_hash != before {
            return Err(format!("version {version} does not have the hash of the event before it"));
        }
        if event.hash.len() != 32 {
            return Err(format!("version {version} has a hash of {} bytes", event.hash.len()));
        }
        before = &event.hash;
    }
    Ok(())
}

/// Compares the types and times of the events.
fn history(booking: &Booking, events: &[BookingEvent]) -> Result<(), String> {
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.r#type.as_str(), event.time.as_ref().map(moment).unwrap_or_default()))
        .collect();
    let agree = in_one_order(&seen) == in_one_order(&booking.history);
    if agree { Ok(()) } else { Err(format!("{seen:?} and not {:?}", booking.history)) }
}

/// The history, with payment events of the same time in a fixed order. Concurrent calls and Stripe events may have
/// happened in several orders with the same result, and the reads do not show which.
fn in_one_order<'a>(history: &[(&'a str, DateTime<Utc>)]) -> Vec<(&'a str, DateTime<Utc>)> {
    let mut ordered = history.to_vec();
    let is_money = |kind: &str| kind.starts_with("teppan.payment.");
    for together in ordered.chunk_by_mut(|one, next| one.1 == next.1 && is_money(one.0) && is_money(next.0)) {
        together.sort_unstable();
    }
    ordered
}

/// Applies an event. Its other fields, such as the version, must equal those of the booking at that time.
fn apply(booking: &mut WireBooking, event: &BookingEvent) {
    booking.version = event.booking_version;
    booking.updated_at = event.time;
    match event.data.clone() {
        Some(Data::BookingCreated(created)) => *booking = of_creation(created),
        Some(Data::BookingConfirmed(confirmed)) => {
            booking.status = confirmed.status;
            booking.confirmed_at = confirmed.occurred_at;
            booking.hold_expires_at = None;
            // The seats are free again, so the paid amount is of use and no longer owed.
            if confirmed.seats_retaken {
                booking.refund_due_cents = 0;
            }
        }
        Some(Data::BookingRescheduled(moved)) => {
            let slot = (moved.date, moved.start_time);
            // A party is seated, and a guest confirms, for one time.
            booking.seated_at =
                booking.seated_at.filter(|_| (&booking.date, &booking.start_time) == (&slot.0, &slot.1));
            booking.guest_confirmed_at = booking.guest_confirmed_at.filter(|_| booking.starts_at == moved.starts_at);
            (booking.date, booking.start_time) = slot;
            (booking.starts_at, booking.ends_at) = (moved.starts_at, moved.ends_at);
            booking.status = moved.status;
            booking.party_size = moved.party_size;
            booking.price_per_person_cents = moved.price_per_person_cents;
            booking.total_cents = moved.total_cents;
            booking.deposit_cents = moved.deposit_cents;
            booking.refund_due_cents = moved.refund_due_cents;
            booking.hold_expires_at = moved.hold_expires_at;
            booking.retained_cents = moved.retained_cents.unwrap_or_default();
            booking.refund_percent_max = moved.refund_percent_max.filter(|percent| *percent != 100);
            (booking.area, booking.tables, booking.occupied_until) = (moved.area, moved.tables, moved.occupied_until);
        }
        Some(Data::BookingCancelled(cancelled)) => {
            booking.status = cancelled.status;
            booking.cancelled_at = cancelled.occurred_at;
            booking.cancelled_by = cancelled.cancelled_by;
            booking.paid_cents = cancelled.paid_cents;
            booking.refund_due_cents = cancelled.refund_due_cents;
            booking.hold_expires_at = None;
        }
        Some(Data::BookingExpired(expired)) => {
            booking.status = expired.status;
            booking.paid_cents = expired.paid_cents;
            booking.refund_due_cents = expired.refund_due_cents;
            booking.hold_expires_at = None;
        }
        Some(Data::BookingCompleted(completed)) => booking.status = completed.status,
        Some(Data::BookingNoShow(missed)) => {
            booking.status = missed.status;
            booking.no_show_fee_cents = missed.no_show_fee_cents.unwrap_or_default();
            booking.refund_due_cents = missed.refund_due_cents.unwrap_or_default();
        }
        Some(Data::BookingReinstated(reinstated)) => {
            booking.status = reinstated.status;
            if reinstated.status() == events::BookingStatus::Confirmed {
                booking.confirmed_at = booking.confirmed_at.or(reinstated.occurred_at);
            }
            booking.guest_confirmed_at = booking.guest_confirmed_at.filter(|_| booking.cancelled_at.is_none());
            (booking.cancelled_at, booking.cancelled_by, booking.no_show_fee_cents) = (None, 0, 0);
            booking.refund_due_cents = reinstated.refund_due_cents;
            booking.hold_expires_at = reinstated.hold_expires_at;
        }
        Some(Data::BookingUpdated(updated)) => {
            if updated.ends_at.is_some() {
                (booking.ends_at, booking.occupied_until) = (updated.ends_at, updated.occupied_until);
            }
            if updated.changed_fields().any(|field| field == events::BookingField::GuestConfirmedAt) {
                booking.guest_confirmed_at = updated.occurred_at;
            }
        }
        Some(Data::BookingTablesAssigned(assigned)) => {
            (booking.area, booking.tables) = (assigned.area, assigned.tables);
            booking.occupied_until = assigned.occupied_until;
        }
        Some(Data::BookingSeated(seated)) => booking.seated_at = seated.seated_at,
        Some(Data::PaymentRecorded(recorded)) => {
            let sums = (recorded.paid_cents, recorded.refunded_cents, recorded.refund_due_cents);
            pay(booking, sums, recorded.hold_expires_at);
            booking.extras_cents = recorded.extras_cents.unwrap_or_default();
        }
        Some(Data::PaymentFailed(failed)) => {
            let sums = (failed.paid_cents, failed.refunded_cents, failed.refund_due_cents);
            pay(booking, sums, failed.hold_expires_at);
        }
        Some(Data::PaymentProcessing(processed)) => {
            let sums = (processed.paid_cents, processed.refunded_cents, processed.refund_due_cents);
            pay(booking, sums, processed.hold_expires_at);
        }
        Some(Data::PaymentRefunded(refunded)) => {
            let sums = (refunded.paid_cents, refunded.refunded_cents, refunded.refund_due_cents);
            let hold = booking.hold_expires_at;
            pay(booking, sums, hold);
            booking.extras_cents = refunded.extras_cents.unwrap_or_default();
        }
        Some(Data::RefundRequired(required)) => booking.refund_due_cents = required.refund_due_cents,
        _ => {}
    }
}

/// Sets the sums after a payment event, and the end of the hold of a pending booking.
fn pay(booking: &mut WireBooking, (paid, refunded, due): (i64, i64, i64), hold: Option<Timestamp>) {
    (booking.paid_cents, booking.refunded_cents, booking.refund_due_cents) = (paid, refunded, due);
    booking.hold_expires_at = hold;
}

fn of_creation(created: events::BookingCreated) -> WireBooking {
    let firm = created.status() == events::BookingStatus::Confirmed;
    WireBooking {
        booking_id: created.booking_id,
        confirmation_code: created.confirmation_code,
        status: created.status,
        venue_id: created.venue_id,
        date: created.date,
        start_time: created.start_time,
        starts_at: created.starts_at,
        ends_at: created.ends_at,
        time_zone: created.time_zone,
        party_size: created.party_size,
        total_cents: created.total_cents,
        deposit_cents: created.deposit_cents,
        currency: created.currency,
        hold_expires_at: created.hold_expires_at,
        created_at: created.occurred_at,
        updated_at: created.occurred_at,
        customer_id: created.customer_id,
        conversation_id: created.conversation_id,
        price_per_person_cents: created.price_per_person_cents,
        version: created.booking_version,
        confirmed_at: created.occurred_at.filter(|_| firm),
        waitlist_entry_id: created.waitlist_entry_id,
        terms: created.terms,
        area: created.area,
        tables: created.tables,
        occupied_until: created.occupied_until,
        ..Default::default()
    }
}
