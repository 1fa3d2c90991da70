//! What a booking's events make of it: the row, derived once more.
//!
//! Another type of event takes a line in [`happen`]. A column that events determine takes a field in
//! [`BookingColumns`], a line in its `differing`, and one in each of the statements that verify and repair.

mod columns;
mod stated;
#[cfg(test)]
mod tests;

pub use self::columns::BookingColumns;
use self::stated::Stated;
use super::{
    BookingChange, BookingStatus,
    event_chain::{EventFault, EventFaultKind, StoredEvent, chain_faults},
};

/// What a booking's events say of it.
#[derive(Debug, Clone)]
pub struct Derived {
    /// `None` when they do not say it: there are none, or one of them cannot be read, or cannot have happened.
    pub columns: Option<BookingColumns>,
    /// Everything that is wrong with the events.
    pub faults: Vec<EventFault>,
    /// The slots that the events name, as far as they were read.
    pub slots: Vec<(chrono::NaiveDate, chrono::NaiveTime)>,
}

/// Derives a booking from its events, which are in the order of their versions.
pub fn derive(events: &[StoredEvent]) -> Derived {
    let mut derived = Derived { columns: None, faults: chain_faults(events), slots: Vec::new() };
    for event in events {
        let step = match serde_json::from_str::<Stated>(&event.data) {
            Err(_) => Err(EventFaultKind::Unreadable),
            Ok(stated) => {
                derived.slots.extend(stated.slot());
                happen(derived.columns.take(), event, &stated).map(|happened| (happened, stated))
            }
        };
        match step {
            Ok((Happened { after, mut contradicts }, stated)) => {
                contradicts.extend(stated.contradictions(&after));
                let impossible = after.impossible();
                for (kind, fields) in
                    [(EventFaultKind::Contradiction, contradicts), (EventFaultKind::ImpossibleFigure, impossible)]
                {
                    if !fields.is_empty() {
                        derived.faults.push(event.fault(kind, fields));
                    }
                }
                derived.columns = Some(after);
            }
            // From here on nothing follows from what comes.
            Err(kind) => {
                derived.faults.push(event.fault(kind, Vec::new()));
                derived.columns = None;
                return derived;
            }
        }
    }
    derived
}

/// A booking after an event, and what the event says that does not fit the booking before it.
struct Happened {
    after: BookingColumns,
    contradicts: Vec<&'static str>,
}

/// What the event does to the booking.
fn happen(before: Option<BookingColumns>, event: &StoredEvent, stated: &Stated) -> Result<Happened, EventFaultKind> {
    let Some(before) = before else {
        return match event.kind.as_str() {
            "teppan.booking.created.v1" => {
                let after = created(event, stated).ok_or(EventFaultKind::Unreadable)?;
                Ok(Happened { after, contradicts: Vec::new() })
            }
            _ => Err(EventFaultKind::IllegalTransition),
        };
    };
    let mut contradicts = stated.contradictions_before(&before);
    let mut after = before.clone();
    let read = match event.kind.as_str() {
        "teppan.booking.confirmed.v1" => {
            confirm(&mut after, event, stated)?;
            Some(())
        }
        "teppan.booking.rescheduled.v1" => {
            change(&mut after, BookingChange::Reschedule)?;
            reschedule(&mut after, stated)
        }
        "teppan.booking.instant_corrected.v1" => {
            change(&mut after, BookingChange::CorrectInstant)?;
            contradicts.extend(unless(stated.slot() == Some((before.slot_date, before.start_time)), "start_time"));
            correct(&mut after, stated)
        }
        "teppan.booking.cancelled.v1" => {
            change(&mut after, BookingChange::Cancel)?;
            after.cancelled_at = Some(event.occurred_at);
            after.cancelled_by = stated.initiator();
            settle(&mut after, stated).filter(|()| after.cancelled_by.is_some())
        }
        "teppan.booking.expired.v1" => {
            contradicts.extend(unless(stated.waitlist_entry_id == before.waitlist_entry_id, "waitlist_entry_id"));
            change(&mut after, BookingChange::Expire)?;
            settle(&mut after, stated)
        }
        "teppan.booking.completed.v1" => Some(change(&mut after, BookingChange::Complete)?),
        "teppan.booking.no_show.v1" => Some(change(&mut after, BookingChange::MarkNoShow)?),
        "teppan.payment.recorded.v1" => {
            contradicts.extend(unless(amount_after(before.paid_cents, stated) == stated.paid_cents, "amount_cents"));
            hold(&mut after, stated);
            pay(&mut after, stated)
        }
        // Less is paid than before, or as much: an attempt that failed never counted.
        "teppan.payment.failed.v1" => {
            contradicts.extend(unless(stated.paid_cents <= Some(before.paid_cents), "paid_cents"));
            hold(&mut after, stated);
            pay(&mut after, stated)
        }
        "teppan.payment.processing.v1" => {
            contradicts.extend(unless(stated.paid_cents == Some(before.paid_cents), "paid_cents"));
            hold(&mut after, stated);
            pay(&mut after, stated)
        }
        "teppan.payment.refunded.v1" => {
            contradicts.extend(unless(stated.paid_cents <= Some(before.paid_cents), "paid_cents"));
            let refunded = amount_after(before.refunded_cents, stated) == stated.refunded_cents;
            contradicts.extend(unless(refunded, "amount_cents"));
            pay(&mut after, stated)
        }
        "teppan.payment.refund_required.v1" => settle(&mut after, stated),
        // It follows the creation of the booking that is the offer.
        "teppan.waitlist.offered.v1" if after.status == BookingStatus::Pending => {
            after.waitlist_entry_id = stated.waitlist_entry_id;
            stated.waitlist_entry_id.map(|_| ())
        }
        "teppan.waitlist.offered.v1" => return Err(EventFaultKind::IllegalTransition),
        _ => None,
    };
    read.ok_or(EventFaultKind::Unreadable)?;
    if after.status != BookingStatus::Pending {
        after.hold_expires_at = None;
    }
    after.version = event.version;
    after.event_hash.clone_from(&event.hash);
    after.updated_at = event.occurred_at;
    Ok(Happened { after, contradicts })
}

fn created(event: &StoredEvent, stated: &Stated) -> Option<BookingColumns> {
    let (slot_date, start_time) = stated.slot()?;
    let is_new = matches!(stated.status, BookingStatus::Pending | BookingStatus::Confirmed);
    is_new.then_some(BookingColumns {
        booking_id: event.booking_id,
        confirmation_code: stated.confirmation_code.clone()?,
        status: stated.status,
        venue_id: stated.venue_id,
        slot_date,
        start_time,
        starts_at: stated.starts_at?,
        ends_at: stated.ends_at?,
        customer_id: stated.customer_id?,
        party_size: stated.party_size?,
        price_per_person_cents: stated.price_per_person_cents?,
        total_cents: stated.total_cents?,
        deposit_due_cents: stated.deposit_due_cents?,
        paid_cents: 0,
        refunded_cents: 0,
        refund_due_cents: 0,
        currency: stated.currency.clone()?,
        hold_expires_at: stated.hold_expires_at,
        confirmed_at: (stated.status == BookingStatus::Confirmed).then_some(event.occurred_at),
        cancelled_at: None,
        cancelled_by: None,
        conversation_id: stated.conversation_id.clone()?,
        waitlist_entry_id: None,
        version: event.version,
        event_hash: event.hash.clone(),
        created_at: event.occurred_at,
        updated_at: event.occurred_at,
    })
}

fn change(booking: &mut BookingColumns, change: BookingChange) -> Result<(), EventFaultKind> {
    booking.status = booking.status.after(change).ok_or(EventFaultKind::IllegalTransition)?;
    Ok(())
}

/// A hold that had run out takes its seats again with the deposit, and nothing of it is owed back any more.
fn confirm(booking: &mut BookingColumns, event: &StoredEvent, stated: &Stated) -> Result<(), EventFaultKind> {
    if booking.status == BookingStatus::Expired && stated.seats_retaken == Some(true) {
        booking.status = BookingStatus::Confirmed;
        booking.refund_due_cents = 0;
    } else {
        change(booking, BookingChange::Confirm)?;
    }
    booking.confirmed_at = Some(event.occurred_at);
    Ok(())
}

fn reschedule(booking: &mut BookingColumns, stated: &Stated) -> Option<()> {
    (booking.slot_date, booking.start_time) = stated.slot()?;
    booking.starts_at = stated.starts_at?;
    booking.ends_at = stated.ends_at?;
    booking.party_size = stated.party_size?;
    booking.price_per_person_cents = stated.price_per_person_cents?;
    booking.total_cents = stated.total_cents?;
    booking.deposit_due_cents = stated.deposit_due_cents?;
    booking.hold_expires_at = stated.hold_expires_at;
    settle(booking, stated)
}

fn correct(booking: &mut BookingColumns, stated: &Stated) -> Option<()> {
    booking.starts_at = stated.starts_at?;
    booking.ends_at = stated.ends_at?;
    booking.hold_expires_at = stated.hold_expires_at;
    Some(())
}

fn settle(booking: &mut BookingColumns, stated: &Stated) -> Option<()> {
    booking.refund_due_cents = stated.refund_due_cents?;
    Some(())
}

/// The sums as they stand after money moved.
fn pay(booking: &mut BookingColumns, stated: &Stated) -> Option<()> {
    booking.paid_cents = stated.paid_cents?;
    booking.refunded_cents = stated.refunded_cents?;
    settle(booking, stated)
}

/// A payment that the bank decides about keeps the hold meanwhile.
fn hold(booking: &mut BookingColumns, stated: &Stated) {
    booking.hold_expires_at = stated.hold_expires_at;
}

fn amount_after(before: i64, stated: &Stated) -> Option<i64> {
    stated.amount_cents.and_then(|amount| before.checked_add(amount))
}

fn unless(holds: bool, field: &'static str) -> Option<&'static str> {
    (!holds).then_some(field)
}
