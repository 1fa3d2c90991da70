//! Derives a booking from its events again, and reports what is wrong with the events.

use serde_json::Value;

use super::{
    booking::Booking,
    event_chain::{EventFault, EventFaultKind, StoredEvent, chain_faults},
    event_data::{self, EventData},
    fold::{FoldFault, fold},
};

/// A booking as derived from its events.
#[derive(Debug, Clone)]
pub struct Derived {
    /// `None` if there are no events, or one of them cannot be read or cannot have happened.
    pub booking: Option<Booking>,
    /// Everything that is wrong with the events.
    pub faults: Vec<EventFault>,
    /// The slots of the events that could be read.
    pub slots: Vec<(chrono::NaiveDate, chrono::NaiveTime)>,
}

/// Derives a booking from its events, which are in the order of their versions.
pub fn derive(events: &[StoredEvent]) -> Derived {
    let mut derived = Derived { booking: None, faults: chain_faults(events), slots: Vec::new() };
    for stored in events {
        let before = derived.booking.take();
        match next(before.as_ref(), stored, &mut derived.slots) {
            Ok((after, contradictions)) => {
                let impossible = after.impossible().into_iter().map(str::to_owned).collect();
                for (kind, fields) in
                    [(EventFaultKind::Contradiction, contradictions), (EventFaultKind::ImpossibleFigure, impossible)]
                {
                    if !fields.is_empty() {
                        derived.faults.push(stored.fault(kind, fields));
                    }
                }
                derived.booking = Some(after);
            }
            // The later events cannot be checked without the booking before them.
            Err(kind) => {
                derived.faults.push(stored.fault(kind, Vec::new()));
                break;
            }
        }
    }
    derived
}

/// The booking after an event, and the fields of the event that contradict the events before it.
fn next(
    before: Option<&Booking>,
    stored: &StoredEvent,
    slots: &mut Vec<(chrono::NaiveDate, chrono::NaiveTime)>,
) -> Result<(Booking, Vec<String>), EventFaultKind> {
    let stated = stated(stored).ok_or(EventFaultKind::Unreadable)?;
    let event = event_data::read(&stored.kind, &stored.data).map_err(|_| EventFaultKind::Unreadable)?;
    slots.extend(event_data::slot(&event));
    let folded = fold(before, &event, stored.occurred_at).map_err(|fault| match fault {
        FoldFault::Unreadable => EventFaultKind::Unreadable,
        FoldFault::IllegalTransition => EventFaultKind::IllegalTransition,
    })?;
    let after = Booking { version: stored.version, event_hash: stored.hash.clone(), ..folded };
    let mut contradictions = misdescribed(&stated, &event, before, &after);
    contradictions.extend(before.into_iter().flat_map(|before| wrong_amounts(&event, before)).map(str::to_owned));
    Ok((after, contradictions))
}

type Fields = serde_json::Map<String, Value>;

/// The stored fields of an event; `None` if a required field is missing. They are checked here, because protobuf would
/// read a missing field as 0.
fn stated(stored: &StoredEvent) -> Option<Fields> {
    const OF_EACH: [&str; 7] =
        ["booking_id", "venue_id", "date", "start_time", "booking_version", "status", "occurred_at"];
    const OF_MONEY: [&str; 3] = ["paid_cents", "refunded_cents", "refund_due_cents"];
    let fields: Fields = serde_json::from_str(&stored.data).ok()?;
    let moves_money = stored.kind.starts_with("teppan.payment.") && stored.kind != "teppan.payment.refund_required.v1";
    let needed = OF_EACH.iter().chain(OF_MONEY.iter().filter(|_| moves_money));
    needed.into_iter().all(|name| fields.contains_key(*name)).then_some(fields)
}

/// The fields whose stored value differs from the derived one. A field that is not in the event is not compared: it may
/// be newer than the event. The time zone is not compared either: it is the venue's and may have changed since.
fn misdescribed(stated: &Fields, event: &EventData, before: Option<&Booking>, after: &Booking) -> Vec<String> {
    let mut derived = event.clone();
    event_data::describe(&mut derived, before, after);
    let fields = |event| -> Fields {
        event_data::to_json(event).ok().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
    };
    let (read, derived) = (fields(event), fields(&derived));
    let is_wrong = |name: &&String| *name != "time_zone" && read.get(*name) != derived.get(*name);
    stated.keys().filter(is_wrong).cloned().collect()
}

/// The events of money contain the sums of their booking; these must be consistent with the sums before the event.
fn wrong_amounts(event: &EventData, before: &Booking) -> Vec<&'static str> {
    let fits = match event {
        EventData::PaymentRecorded(event) => {
            (before.paid_cents.checked_add(event.amount_cents) == Some(event.paid_cents), "amount_cents")
        }
        EventData::PaymentRefunded(event) => {
            (before.refunded_cents.checked_add(event.amount_cents) == Some(event.refunded_cents), "amount_cents")
        }
        // The paid amount falls by a dispute, and stays the same after a failed attempt.
        EventData::PaymentFailed(event) => (event.paid_cents <= before.paid_cents, "paid_cents"),
        _ => return Vec::new(),
    };
    let is_paid_back = match event {
        EventData::PaymentRefunded(event) => (event.paid_cents <= before.paid_cents, "paid_cents"),
        _ => (true, ""),
    };
    [fits, is_paid_back].into_iter().filter(|(fits, _)| !fits).map(|(_, name)| name).collect()
}

/// The columns in which two rows differ; only columns that the events determine.
pub fn differing(derived: &Booking, row: &Booking) -> Vec<String> {
    /// Columns that the events do not contain, and the hash, which has its own finding.
    const LEFT_OUT: [&str; 5] = ["details_sealed", "erased_at", "source", "time_zone", "event_hash"];
    let columns = |row| match serde_json::to_value(row) {
        Ok(Value::Object(columns)) => columns,
        _ => serde_json::Map::new(),
    };
    let row = columns(row);
    let differs = |(name, value): &(String, Value)| !LEFT_OUT.contains(&name.as_str()) && row.get(name) != Some(value);
    columns(derived).into_iter().filter(differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
#[path = "derive_tests.rs"]
mod tests;
