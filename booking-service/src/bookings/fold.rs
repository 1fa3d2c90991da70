//! Applies an event to its booking. The same function writes changes, verifies rows and repairs them.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use teppan_shared::contract::events::v1 as wire;

use super::{
    booking::Booking,
    event_data::{EventData, initiator, instant, slot, status},
};
use crate::domain::{BookingChange, BookingId, BookingStatus, CustomerId, VenueId, WaitlistEntryId};

/// Why an event cannot be the next event of its booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FoldFault {
    /// Its contents do not match its type.
    #[error("its contents cannot be read")]
    Unreadable,
    /// It cannot happen in the state that the booking has after the previous events.
    #[error("it cannot happen in the booking's state")]
    IllegalTransition,
}

/// The booking after an event. The caller sets the hash of the event, because it depends on this result.
///
/// # Errors
/// [`FoldFault`].
pub fn fold(before: Option<&Booking>, event: &EventData, at: DateTime<Utc>) -> Result<Booking, FoldFault> {
    let Some(before) = before else {
        return match event {
            EventData::BookingCreated(event) => created(event, at).ok_or(FoldFault::Unreadable),
            _ => Err(FoldFault::IllegalTransition),
        };
    };
    let mut after = Booking { version: before.version + 1, updated_at: at, ..before.clone() };
    apply(&mut after, event, at)?.ok_or(FoldFault::Unreadable)?;
    if after.status != BookingStatus::Pending {
        after.hold_expires_at = None;
    }
    Ok(after)
}

/// `None` when the event cannot be read.
fn apply(booking: &mut Booking, event: &EventData, at: DateTime<Utc>) -> Result<Option<()>, FoldFault> {
    Ok(match event {
        EventData::BookingCreated(_) => return Err(FoldFault::IllegalTransition),
        EventData::BookingConfirmed(event) => Some(confirm(booking, event, at)?),
        EventData::BookingRescheduled(moved) => {
            change(booking, BookingChange::Reschedule)?;
            slot(event).and_then(|slot| reschedule(booking, moved, slot))
        }
        EventData::BookingInstantCorrected(event) => {
            change(booking, BookingChange::CorrectInstant)?;
            booking.hold_expires_at = instant(event.hold_expires_at.as_ref());
            // Another booking may have the tables at the new time.
            booking.tables = None;
            let previous_starts_at = booking.starts_at;
            begin_at(booking, event.starts_at.as_ref(), event.ends_at.as_ref()).map(|()| {
                let moved_by = booking.starts_at - previous_starts_at;
                booking.occupied_until = booking.occupied_until.map(|until| until + moved_by);
            })
        }
        EventData::BookingCustomerChanged(event) => {
            CustomerId::parse(&event.customer_id).ok().map(|customer_id| booking.customer_id = customer_id)
        }
        EventData::BookingCancelled(event) => {
            change(booking, BookingChange::Cancel)?;
            booking.cancelled_at = Some(at);
            booking.cancelled_by = initiator(event.cancelled_by);
            booking.refund_due_cents = event.refund_due_cents;
            booking.kept_cents = event.kept_cents;
            booking.cancelled_by.map(|_| ())
        }
        EventData::BookingExpired(event) => {
            change(booking, BookingChange::Expire)?;
            booking.refund_due_cents = event.refund_due_cents;
            Some(())
        }
        EventData::BookingCompleted(_) => Some(change(booking, BookingChange::Complete)?),
        EventData::BookingNoShow(event) => {
            change(booking, BookingChange::MarkNoShow)?;
            booking.no_show_fee_cents = event.no_show_fee_cents.filter(|cents| *cents != 0);
            // The version before does not write it, and leaves the column as it is.
            booking.refund_due_cents = event.refund_due_cents.unwrap_or(booking.refund_due_cents);
            Some(())
        }
        EventData::BookingUpdated(event) => {
            change(booking, BookingChange::Update)?;
            let is_field = |field: &i32| matches!(wire::BookingField::try_from(*field), Ok(it) if it as i32 != 0);
            if let Some(ends_at) = instant(event.ends_at.as_ref()) {
                booking.ends_at = ends_at;
                booking.occupied_until = instant(event.occupied_until.as_ref());
            }
            if event.changed_fields.contains(&wire::BookingField::GuestConfirmedAt.into()) {
                booking.guest_confirmed_at = Some(at);
            }
            (!event.changed_fields.is_empty() && event.changed_fields.iter().all(is_field)).then_some(())
        }
        EventData::BookingTablesAssigned(event) => {
            change(booking, BookingChange::AssignTables)?;
            booking.area = area(&event.area);
            booking.tables = tables(&event.tables);
            booking.occupied_until = instant(event.occupied_until.as_ref());
            (booking.tables.is_some() && booking.occupied_until.is_some()).then_some(())
        }
        EventData::BookingSeated(event) => {
            change(booking, BookingChange::Seat)?;
            booking.seated_at = instant(event.seated_at.as_ref());
            Some(())
        }
        EventData::BookingReinstated(event) => {
            change(booking, BookingChange::Reinstate)?;
            reinstate(booking, event, at)
        }
        EventData::RefundRequired(event) => {
            booking.refund_due_cents = event.refund_due_cents;
            Some(())
        }
        // An offer follows the creation of its pending booking.
        EventData::WaitlistOffered(_) if booking.status != BookingStatus::Pending => {
            return Err(FoldFault::IllegalTransition);
        }
        EventData::WaitlistOffered(event) => {
            booking.waitlist_entry_id = WaitlistEntryId::parse(&event.waitlist_entry_id).ok();
            booking.waitlist_entry_id.map(|_| ())
        }
        EventData::PaymentRecorded(_)
        | EventData::PaymentFailed(_)
        | EventData::PaymentProcessing(_)
        | EventData::PaymentRefunded(_) => pay(booking, event),
    })
}

fn created(event: &wire::BookingCreated, at: DateTime<Utc>) -> Option<Booking> {
    let status = status(event.status).filter(|it| matches!(it, BookingStatus::Pending | BookingStatus::Confirmed))?;
    let (slot_date, start_time) = slot(&EventData::BookingCreated(event.clone()))?;
    Some(Booking {
        booking_id: BookingId::parse(&event.booking_id).ok()?,
        confirmation_code: event.confirmation_code.clone(),
        status,
        venue_id: VenueId::parse(&event.venue_id).ok()?,
        slot_date,
        start_time,
        starts_at: instant(event.starts_at.as_ref())?,
        ends_at: instant(event.ends_at.as_ref())?,
        customer_id: CustomerId::parse(&event.customer_id).ok()?,
        party_size: event.party_size,
        price_per_person_cents: event.price_per_person_cents,
        total_cents: event.total_cents,
        deposit_cents: event.deposit_cents,
        paid_cents: 0,
        refunded_cents: 0,
        refund_due_cents: 0,
        disputed_cents: 0,
        kept_cents: 0,
        currency: event.currency.clone(),
        hold_expires_at: instant(event.hold_expires_at.as_ref()),
        unpaid_hold_expires_at: None,
        confirmed_at: (status == BookingStatus::Confirmed).then_some(at),
        cancelled_at: None,
        cancelled_by: None,
        conversation_id: event.conversation_id.clone(),
        details_sealed: None,
        erased_at: None,
        source: String::new(),
        waitlist_entry_id: WaitlistEntryId::parse(&event.waitlist_entry_id).ok(),
        area: area(&event.area),
        occupied_until: instant(event.occupied_until.as_ref()),
        tables: tables(&event.tables),
        terms: event.terms.as_ref().map(|terms| Json(terms.into())),
        retained_cents: None,
        refund_base_cents: None,
        refund_percent_max: None,
        guest_confirmed_at: None,
        seated_at: None,
        extras_cents: None,
        no_show_fee_cents: None,
        version: 1,
        event_hash: Vec::new(),
        created_at: at,
        updated_at: at,
        time_zone: event.time_zone.clone(),
    })
}

/// The tables that an event names; `None` for none.
fn tables(keys: &[String]) -> Option<Vec<String>> {
    (!keys.is_empty()).then(|| keys.to_vec())
}

/// The area that an event names; `None` for none.
fn area(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

fn change(booking: &mut Booking, change: BookingChange) -> Result<(), FoldFault> {
    booking.status = booking.status.after(change).ok_or(FoldFault::IllegalTransition)?;
    Ok(())
}

/// An expired booking can take its seats again when its deposit is paid; then nothing is owed any more.
fn confirm(booking: &mut Booking, event: &wire::BookingConfirmed, at: DateTime<Utc>) -> Result<(), FoldFault> {
    if event.seats_retaken {
        change(booking, BookingChange::RetakeSeats)?;
        booking.refund_due_cents = 0;
    } else {
        change(booking, BookingChange::Confirm)?;
    }
    booking.confirmed_at = Some(at);
    Ok(())
}

/// With a hold the booking waits for its deposit again; otherwise it is confirmed.
fn reinstate(booking: &mut Booking, event: &wire::BookingReinstated, at: DateTime<Utc>) -> Option<()> {
    booking.hold_expires_at = instant(event.hold_expires_at.as_ref());
    booking.unpaid_hold_expires_at = None;
    if booking.hold_expires_at.is_some() {
        booking.status = BookingStatus::Pending;
    } else {
        booking.confirmed_at = booking.confirmed_at.or(Some(at));
    }
    // Who has cancelled since has not confirmed.
    booking.guest_confirmed_at = booking.guest_confirmed_at.filter(|_| booking.cancelled_at.is_none());
    (booking.cancelled_at, booking.cancelled_by, booking.kept_cents) = (None, None, 0);
    booking.no_show_fee_cents = None;
    booking.refund_due_cents = event.refund_due_cents;
    let previous_starts_at = booking.starts_at;
    begin_at(booking, event.starts_at.as_ref(), event.ends_at.as_ref())?;
    let moved_by = booking.starts_at - previous_starts_at;
    booking.occupied_until = booking.occupied_until.map(|until| until + moved_by);
    Some(())
}

fn reschedule(
    booking: &mut Booking,
    event: &wire::BookingRescheduled,
    slot: (chrono::NaiveDate, chrono::NaiveTime),
) -> Option<()> {
    // A party that was seated for another slot is not seated for this one.
    if (booking.slot_date, booking.start_time) != slot {
        booking.seated_at = None;
    }
    (booking.slot_date, booking.start_time) = slot;
    booking.party_size = event.party_size;
    booking.price_per_person_cents = event.price_per_person_cents;
    booking.total_cents = event.total_cents;
    booking.deposit_cents = event.deposit_cents;
    booking.refund_due_cents = event.refund_due_cents;
    booking.hold_expires_at = instant(event.hold_expires_at.as_ref());
    booking.area = area(&event.area);
    booking.occupied_until = instant(event.occupied_until.as_ref());
    booking.tables = tables(&event.tables);
    // The version before does not write these fields, and leaves the columns as they are.
    if let Some(cents) = event.retained_cents {
        booking.retained_cents = (cents != 0).then_some(cents);
    }
    if let Some(cents) = event.refund_base_cents {
        booking.refund_base_cents = (cents != 0).then_some(cents);
    }
    if let Some(percent) = event.refund_percent_max {
        booking.refund_percent_max = (percent != 100).then_some(percent);
    }
    let previous_starts_at = booking.starts_at;
    begin_at(booking, event.starts_at.as_ref(), event.ends_at.as_ref())?;
    // The guest has confirmed another time.
    booking.guest_confirmed_at = booking.guest_confirmed_at.filter(|_| booking.starts_at == previous_starts_at);
    Some(())
}

fn begin_at(
    booking: &mut Booking,
    starts_at: Option<&pbjson_types::Timestamp>,
    ends_at: Option<&pbjson_types::Timestamp>,
) -> Option<()> {
    booking.starts_at = instant(starts_at)?;
    booking.ends_at = instant(ends_at)?;
    Some(())
}

/// Sets the sums after money has moved, and the end of the hold: a payment that the bank is processing extends it.
fn pay(booking: &mut Booking, event: &EventData) -> Option<()> {
    macro_rules! sums {
        ($event:ident) => {{
            booking.paid_cents = $event.paid_cents;
            booking.refunded_cents = $event.refunded_cents;
            booking.refund_due_cents = $event.refund_due_cents;
            booking.disputed_cents = $event.disputed_cents;
        }};
    }
    match event {
        EventData::PaymentRecorded(event) => {
            sums!(event);
            extras(booking, event.extras_cents);
            booking.hold_expires_at = instant(event.hold_expires_at.as_ref());
        }
        EventData::PaymentFailed(event) => {
            sums!(event);
            booking.hold_expires_at = instant(event.hold_expires_at.as_ref());
        }
        EventData::PaymentProcessing(event) => {
            sums!(event);
            booking.unpaid_hold_expires_at = booking.unpaid_hold_expires_at.or(booking.hold_expires_at);
            booking.hold_expires_at = instant(event.hold_expires_at.as_ref());
        }
        EventData::PaymentRefunded(event) => {
            sums!(event);
            extras(booking, event.extras_cents);
        }
        _ => return None,
    }
    Some(())
}

/// The version before does not write this sum, and leaves the column as it is.
fn extras(booking: &mut Booking, cents: Option<i64>) {
    if let Some(cents) = cents {
        booking.extras_cents = (cents != 0).then_some(cents);
    }
}
