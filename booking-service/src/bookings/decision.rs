//! What was decided about a booking: the events, and what they move.

use chrono::{DateTime, Utc};
use teppan_shared::telemetry;
use uuid::Uuid;

use super::{
    booking::Booking,
    event_chain::StoredEvent,
    event_data::{self, EventData},
    fold::{FoldFault, fold},
};
use crate::{
    domain::{EventId, PaymentId, SlotKey},
    payments::row::Payment,
    slots::row::SlotRow,
};

/// The most events that one change of a booking has: money moved, the booking became firm, some of it is owed.
const EVENTS_MAX: usize = 3;

/// When and by what a change happens, and the ids of what it makes. They are the same when the change is decided
/// again, so that its own first run, whose answer was lost, is recognised by them.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub at: DateTime<Utc>,
    pub event_ids: [EventId; EVENTS_MAX],
    pub payment_id: PaymentId,
    pub traceparent: Option<String>,
}

impl Occasion {
    /// Of a call: what it changes carries its trace.
    pub fn of_call(at: DateTime<Utc>) -> Self {
        Self { traceparent: telemetry::current_traceparent(), ..Self::of_worker(at) }
    }

    pub fn of_worker(at: DateTime<Utc>) -> Self {
        let event_ids = [(); EVENTS_MAX].map(|()| EventId::generate());
        Self { at, event_ids, payment_id: PaymentId::generate(), traceparent: None }
    }
}

/// A change of one booking, to be committed wholly or not at all.
#[derive(Debug, Clone)]
pub struct Decision {
    pub occasion: Occasion,
    /// The version that the booking was loaded at; 0 for a new one.
    pub loaded_version: i64,
    /// The booking after the events.
    pub booking: Booking,
    pub events: Vec<NewEvent>,
    pub seats: Vec<SeatChange>,
    pub payments: Vec<PaymentChange>,
    pub key: Option<NewKey>,
}

/// An event before it is stored, and the booking's version and chain after it.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub stored: StoredEvent,
    /// Whether conversation-service has something to do because of it.
    pub concerns_conversation: bool,
}

/// Seats that are taken (above 0) or given back.
#[derive(Debug, Clone, Copy)]
pub struct SeatChange {
    pub slot: SlotKey,
    pub seats: i32,
    /// The slot that was decided by, when seats are taken: it must still be open, and as it was.
    pub expects: Option<ExpectedSlot>,
}

#[derive(Debug, Clone, Copy)]
pub struct ExpectedSlot {
    pub price_per_person_cents: i64,
    pub starts_at: DateTime<Utc>,
}

/// An entry of `payments` as it is from now on; `revision` is the one that was loaded, `None` for a new entry.
#[derive(Debug, Clone)]
pub struct PaymentChange {
    pub payment: Payment,
    pub revision: Option<i64>,
}

/// An idempotency key, and what it leads to from now on.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub method: &'static str,
    pub key: String,
    pub fingerprint: [u8; 32],
    pub resource_id: Uuid,
}

impl Decision {
    /// Nothing has been decided about this booking yet.
    pub fn about(booking: &Booking, occasion: &Occasion) -> Self {
        Self {
            occasion: occasion.clone(),
            loaded_version: booking.version,
            booking: booking.clone(),
            events: Vec::new(),
            seats: Vec::new(),
            payments: Vec::new(),
            key: None,
        }
    }

    /// A booking begins with this event.
    pub fn create(created: EventData, occasion: &Occasion) -> Result<Self, FoldFault> {
        let first = fold(None, &created, occasion.at)?;
        let mut decision = Self { loaded_version: 0, ..Self::about(&first, occasion) };
        decision.append(created, None, first);
        Ok(decision)
    }

    /// The event happens to the booking. The event has only to say what it decides; what follows from the booking is
    /// filled in.
    pub fn happen(&mut self, event: EventData) -> Result<(), FoldFault> {
        let before = self.booking.clone();
        let after = fold(Some(&before), &event, self.occasion.at)?;
        self.append(event, Some(before), after);
        Ok(())
    }

    fn append(&mut self, mut event: EventData, before: Option<Booking>, after: Booking) {
        event_data::describe(&mut event, before.as_ref(), &after);
        // Messages of scalars and texts always have a JSON.
        let data = event_data::to_json(&event).unwrap_or_default();
        let mut stored = StoredEvent {
            event_id: self.occasion.event_ids[self.events.len()].0,
            booking_id: after.booking_id.0,
            version: after.version,
            kind: event_data::kind(&event).to_owned(),
            occurred_at: self.occasion.at,
            data,
            previous_hash: before.map(|before| before.event_hash).unwrap_or_default(),
            hash: Vec::new(),
        };
        stored.hash = stored.computed_hash().to_vec();
        self.booking = Booking { event_hash: stored.hash.clone(), ..after };
        let concerns_conversation = concerns_conversation(&event, &self.booking);
        self.events.push(NewEvent { stored, concerns_conversation });
    }

    /// The booking's seats are free. To be called before the event that gives them up, or moves them.
    pub fn free_seats(&mut self) {
        self.seats.push(SeatChange { slot: self.booking.slot(), seats: -self.booking.party_size, expects: None });
    }

    pub fn take_seats(&mut self, slot: &SlotRow, seats: i32) {
        let SlotRow { price_per_person_cents, starts_at, .. } = *slot;
        let expects = Some(ExpectedSlot { price_per_person_cents, starts_at });
        self.seats.push(SeatChange { slot: slot.key(), seats, expects });
    }
}

/// Whether conversation-service follows up on a booking differently because of an event: it asks guests of firm
/// bookings, after their visit.
fn concerns_conversation(event: &EventData, after: &Booking) -> bool {
    if after.conversation_id.is_empty() {
        return false;
    }
    match event {
        EventData::BookingConfirmed(_) | EventData::BookingNoShow(_) => true,
        EventData::BookingCreated(_)
        | EventData::BookingCancelled(_)
        | EventData::BookingRescheduled(_)
        | EventData::BookingInstantCorrected(_) => after.confirmed_at.is_some(),
        _ => false,
    }
}
