//! The decision about a booking: its events, seats, payments and idempotency key.

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{contract::events::v1 as wire, telemetry};
use uuid::Uuid;

use super::{
    booking::Booking,
    event_chain::StoredEvent,
    event_data::{self, EventData},
    fold::{FoldFault, fold},
};
use crate::{
    domain::{BookingStatus, EventId, Floor, Occupancy, PaymentId, SlotKey},
    payments::row::Payment,
    slots::row::SlotRow,
};

/// The most events of one change of a booking: money moved, the booking is confirmed, a refund is required.
const EVENTS_MAX: usize = 3;

/// The time of a change, its trace, and the ids of its new rows. They stay the same when the change is decided again,
/// so that a later attempt recognises an earlier one whose answer was lost.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub at: DateTime<Utc>,
    pub event_ids: [EventId; EVENTS_MAX],
    pub payment_id: PaymentId,
    pub traceparent: Option<String>,
}

impl Occasion {
    /// The occasion of a call; its events carry the trace of the call.
    pub fn of_call(at: DateTime<Utc>) -> Self {
        Self { traceparent: telemetry::current_traceparent(), ..Self::of_worker(at) }
    }

    pub fn of_worker(at: DateTime<Utc>) -> Self {
        let event_ids = [(); EVENTS_MAX].map(|()| EventId::generate());
        Self { at, event_ids, payment_id: PaymentId::generate(), traceparent: None }
    }
}

/// A change of one booking, which is committed completely or not at all.
#[derive(Debug, Clone)]
pub struct Decision {
    pub occasion: Occasion,
    /// The version of the loaded booking; 0 for a new booking.
    pub loaded_version: i64,
    /// The booking after the events.
    pub booking: Booking,
    /// Whether the booking's details were sealed anew. Otherwise the commit leaves them: `rotate-keys` may have sealed
    /// them with another key since they were loaded.
    pub reseals: bool,
    /// Whether the commit refuses an overlapping booking of the same customer. A duplicate that was committed since the
    /// booking was loaded makes the decision stale.
    pub forbids_duplicate: bool,
    pub events: Vec<NewEvent>,
    pub seats: Vec<SeatChange>,
    pub payments: Vec<PaymentChange>,
    pub key: Option<NewKey>,
}

/// An event before it is stored, with its version and hashes.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub stored: StoredEvent,
    /// Whether conversation-service must act on it.
    pub concerns_conversation: bool,
}

/// Seats that are taken (above 0) or freed (below 0).
#[derive(Debug, Clone)]
pub struct SeatChange {
    pub slot: SlotKey,
    pub seats: i32,
    /// The loaded slot, when seats of an open slot are taken: it must still be open and have this price and start.
    pub expects: Option<ExpectedSlot>,
    /// The same seats of the venue's floor, if it has one.
    pub occupancy: Occupancy,
    /// Take the seats even if the area does not have them. Tables are taken only if they are free.
    pub is_forced: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct ExpectedSlot {
    pub price_per_person_cents: i64,
    pub starts_at: DateTime<Utc>,
    pub has_floor: bool,
}

/// The new row of a payment; `revision` is the loaded revision, `None` for a new payment.
#[derive(Debug, Clone)]
pub struct PaymentChange {
    pub payment: Payment,
    pub revision: Option<i64>,
}

/// A new idempotency key, and the resource that belongs to it.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub method: &'static str,
    pub key: String,
    pub fingerprint: [u8; 32],
    pub resource_id: Uuid,
}

impl Decision {
    /// An empty decision about a booking.
    pub fn about(booking: &Booking, occasion: &Occasion) -> Self {
        Self {
            occasion: occasion.clone(),
            loaded_version: booking.version,
            booking: booking.clone(),
            reseals: false,
            forbids_duplicate: false,
            events: Vec::new(),
            seats: Vec::new(),
            payments: Vec::new(),
            key: None,
        }
    }

    /// A new booking, created by its first event.
    pub fn create(created: EventData, occasion: &Occasion) -> Result<Self, FoldFault> {
        let first = fold(None, &created, occasion.at)?;
        let mut decision = Self { loaded_version: 0, ..Self::about(&first, occasion) };
        decision.append(created, None, first);
        Ok(decision)
    }

    /// Applies an event to the booking. The event needs only the fields that it decides; the fields that follow from
    /// the booking are filled in.
    pub fn apply(&mut self, event: EventData) -> Result<(), FoldFault> {
        let before = self.booking.clone();
        let after = fold(Some(&before), &event, self.occasion.at)?;
        self.append(event, Some(before), after);
        Ok(())
    }

    fn append(&mut self, mut event: EventData, before: Option<Booking>, after: Booking) {
        event_data::describe(&mut event, before.as_ref(), &after);
        // Messages of scalars and texts can always be written as JSON.
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

    /// Frees the booking's seats. Must be called before the event that ends or moves the booking.
    pub fn free_seats(&mut self) {
        self.change_seats(-self.booking.party_size, None, self.booking.occupancy(), false);
    }

    /// Takes the booking's seats, in the slot as it was loaded. Must be called after the event that takes them.
    pub fn take_seats(&mut self, slot: &SlotRow) {
        let SlotRow { price_per_person_cents, starts_at, has_floor, .. } = *slot;
        let expects = Some(ExpectedSlot { price_per_person_cents, starts_at, has_floor });
        self.change_seats(self.booking.party_size, expects, self.booking.occupancy(), false);
    }

    /// Takes the booking's seats again, whatever the slot's state and price are by now.
    pub fn retake_seats(&mut self) {
        self.change_seats(self.booking.party_size, None, self.booking.occupancy(), false);
    }

    /// Takes seats again of those that the booking has freed, for a party that becomes smaller in its slot. They are
    /// taken even if the area has fewer seats by now. Must be called after the event that makes it smaller.
    pub fn keep_seats(&mut self) {
        self.change_seats(self.booking.party_size, None, self.booking.occupancy(), true);
    }

    /// As [`Self::keep_seats`], without tables that the floor has no more: SetFloor may remove them after a visit.
    pub fn keep_seats_on(&mut self, floor: Option<&Floor>) {
        let mut occupancy = self.booking.occupancy();
        if let Some(area) = floor.and_then(|floor| floor.area(occupancy.area.as_deref())) {
            occupancy.tables.retain(|key| area.tables.iter().any(|it| it.table.as_str() == key));
        }
        self.change_seats(self.booking.party_size, None, occupancy, true);
    }

    /// Replaces the sealed details.
    pub fn reseal(&mut self, details_sealed: Vec<u8>) {
        self.booking.details_sealed = Some(details_sealed);
        self.reseals = true;
    }

    /// Moves the seats of the venue's floor to the booking's new instants, even if they are not open. The slot keeps its
    /// seats. Must be called after the event that moves the booking.
    pub fn follow_instants(&mut self, before: &Booking) {
        if !matches!(before.status, BookingStatus::Pending | BookingStatus::Confirmed) {
            return;
        }
        self.change_seats(-before.party_size, None, before.occupancy(), false);
        self.keep_seats();
    }

    fn change_seats(&mut self, seats: i32, expects: Option<ExpectedSlot>, occupancy: Occupancy, is_forced: bool) {
        self.seats.push(SeatChange { slot: self.booking.slot(), seats, expects, occupancy, is_forced });
    }
}

/// Whether an event changes the follow-up of a booking: conversation-service asks the guests of confirmed bookings
/// after their visit.
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
        // Another end moves the follow-up; a guest who has confirmed needs no reminder.
        EventData::BookingUpdated(event) => {
            let concerns = |field| matches!(field, wire::BookingField::EndsAt | wire::BookingField::GuestConfirmedAt);
            // The question about a visit that ended earlier was sent.
            let is_recent = after.ends_at > after.updated_at - TimeDelta::days(1);
            after.status == BookingStatus::Confirmed && is_recent && event.changed_fields().any(concerns)
        }
        // A completion cancels no follow-up.
        EventData::BookingReinstated(event) => {
            after.confirmed_at.is_some() && event.previous_status() != wire::BookingStatus::Completed
        }
        _ => false,
    }
}
