//! A booking derived from its events once more, and what is wrong with them.

use serde_json::Value;

use super::{
    booking::Booking,
    event_chain::{EventFault, EventFaultKind, StoredEvent, chain_faults},
    event_data::{self, EventData},
    fold::{FoldFault, fold},
};

/// What a booking's events say of it.
#[derive(Debug, Clone)]
pub struct Derived {
    /// `None` when they do not say it: there are none, or one of them cannot be read, or cannot have happened.
    pub booking: Option<Booking>,
    /// Everything that is wrong with the events.
    pub faults: Vec<EventFault>,
    /// The slots that the events name, as far as they were read.
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
            // From here on nothing follows from what comes.
            Err(kind) => {
                derived.faults.push(stored.fault(kind, Vec::new()));
                break;
            }
        }
    }
    derived
}

/// The booking after an event, and the fields of the event that do not follow from the events before it.
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

/// The fields of an event as it is stored; `None` where one is missing without which nothing follows from it. In protobuf
/// a field that is missing is 0.
fn stated(stored: &StoredEvent) -> Option<Fields> {
    const OF_EACH: [&str; 7] =
        ["booking_id", "venue_id", "date", "start_time", "booking_version", "status", "occurred_at"];
    const OF_MONEY: [&str; 3] = ["paid_cents", "refunded_cents", "refund_due_cents"];
    let fields: Fields = serde_json::from_str(&stored.data).ok()?;
    let moves_money = stored.kind.starts_with("teppan.payment.") && stored.kind != "teppan.payment.refund_required.v1";
    let needed = OF_EACH.iter().chain(OF_MONEY.iter().filter(|_| moves_money));
    needed.into_iter().all(|name| fields.contains_key(*name)).then_some(fields)
}

/// The fields that would be described differently. A field that is not in the event contradicts nothing: it may be newer
/// than the event. Nor does the time zone, which is the venue's and may have changed since.
fn misdescribed(stated: &Fields, event: &EventData, before: Option<&Booking>, after: &Booking) -> Vec<String> {
    let mut follows = event.clone();
    event_data::describe(&mut follows, before, after);
    let fields = |event| -> Fields {
        event_data::to_json(event).ok().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
    };
    let (read, follows) = (fields(event), fields(&follows));
    let is_wrong = |name: &&String| *name != "time_zone" && read.get(*name) != follows.get(*name);
    stated.keys().filter(is_wrong).cloned().collect()
}

/// The sums of a booking's money are in its events: they must fit those before.
fn wrong_amounts(event: &EventData, before: &Booking) -> Vec<&'static str> {
    let fits = match event {
        EventData::PaymentRecorded(event) => {
            (before.paid_cents.checked_add(event.amount_cents) == Some(event.paid_cents), "amount_cents")
        }
        EventData::PaymentRefunded(event) => {
            (before.refunded_cents.checked_add(event.amount_cents) == Some(event.refunded_cents), "amount_cents")
        }
        // Less is paid than before, or as much: an attempt that failed never counted.
        EventData::PaymentFailed(event) => (event.paid_cents <= before.paid_cents, "paid_cents"),
        _ => return Vec::new(),
    };
    let is_paid_back = match event {
        EventData::PaymentRefunded(event) => (event.paid_cents <= before.paid_cents, "paid_cents"),
        _ => (true, ""),
    };
    [fits, is_paid_back].into_iter().filter(|(fits, _)| !fits).map(|(_, name)| name).collect()
}

/// The columns in which two rows differ, of those that events determine.
pub fn differing(derived: &Booking, row: &Booking) -> Vec<String> {
    /// Not in the events; and the hash, which has a finding of its own.
    const LEFT_OUT: [&str; 4] = ["special_requests_sealed", "source", "time_zone", "event_hash"];
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
