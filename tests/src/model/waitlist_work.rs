//! What the workers do between calls: holds end, freed seats are offered, and entries are closed.

use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    contract::booking::v1::{self as wire, BookingStatus, WaitlistEntryStatus},
    wire::timestamp,
};

use super::{
    rules::{Wish, hold_until},
    state::{Booking, Model, SlotTime, date, moment, time},
    waitlist::{Entry, is_open, window},
};

/// A step of a worker between calls.
#[derive(Debug, Clone, Copy)]
pub enum WorkerStep {
    Expire { booking: usize },
    Offer { entry: usize, slot: SlotTime },
    Close { entry: usize },
}

impl Model {
    /// The next steps of the workers: for each slot its next offer, or the end of an entry.
    pub fn moves(&self) -> Vec<WorkerStep> {
        let due = |booking: &Booking| {
            let ends = booking.proto.hold_expires_at.as_ref().map(moment);
            booking.proto.status() == BookingStatus::Pending && ends.is_some_and(|ends| ends <= self.now)
        };
        let all = self.bookings.iter().enumerate();
        let mut moves: Vec<_> =
            all.filter(|(_, booking)| due(booking)).map(|(booking, _)| WorkerStep::Expire { booking }).collect();
        let mut offered: Vec<(&str, SlotTime)> = Vec::new();
        for (n, entry) in self.waitlist.iter().enumerate() {
            let proto = &entry.proto;
            if proto.status() != WaitlistEntryStatus::Waiting {
                continue;
            }
            let slots = self.slots_of(proto);
            if self.too_late(proto, &slots) {
                moves.push(WorkerStep::Close { entry: n });
                continue;
            }
            for slot in slots {
                let is_next = !offered.contains(&(&proto.venue_id, slot));
                if is_next && self.wish_of(proto, slot).is_some() {
                    offered.push((&proto.venue_id, slot));
                    moves.push(WorkerStep::Offer { entry: n, slot });
                }
            }
        }
        moves
    }

    /// Makes a step of a worker. Returns false when the known offers show that it was not made.
    pub fn do_worker_step(&mut self, made: WorkerStep) -> bool {
        match made {
            WorkerStep::Expire { booking } => self.expire(booking),
            WorkerStep::Close { entry } => self.end(entry, WaitlistEntryStatus::Closed),
            WorkerStep::Offer { entry, slot } => return self.offer(entry, slot),
        }
        true
    }

    fn offer(&mut self, n: usize, slot: SlotTime) -> bool {
        let Entry { proto, request } = (*self.waitlist[n]).clone();
        let named = self.named.get(&proto.waitlist_entry_id).filter(|named| named.slot == slot).cloned();
        let (Some(named), Some(wish)) = (named, self.wish_of(&proto, slot)) else { return false };
        let mut made = wire::Booking {
            booking_id: named.booking_id.clone(),
            confirmation_code: named.confirmation_code,
            customer_id: proto.customer_id.clone(),
            venue_id: proto.venue_id.clone(),
            conversation_id: proto.conversation_id.clone(),
            special_requests: request.special_requests,
            contact: request.contact,
            source: request.source,
            waitlist_entry_id: proto.waitlist_entry_id.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            version: 2,
            ..Default::default()
        };
        let starts_at = self.priced(&mut made, wish);
        self.seat(&mut made, wish);
        made.set_status(BookingStatus::Pending);
        let venue = &self.venues[self.venue(&proto.venue_id).unwrap_or_default()];
        made.hold_expires_at = Some(timestamp(hold_until(venue.proto.waitlist_hold_minutes, self.now, starts_at)));
        let history = vec![("teppan.booking.created.v1", self.now), ("teppan.waitlist.offered.v1", self.now)];
        let entry = &mut Arc::make_mut(&mut self.waitlist[n]).proto;
        entry.booking_id = named.booking_id;
        entry.start_time.clone_from(&made.start_time);
        entry.starts_at = made.starts_at;
        self.bookings.push(Arc::new(Booking::new(made, history)));
        self.end(n, WaitlistEntryStatus::Offered);
        true
    }

    /// The slots for which an entry waits.
    fn slots_of(&self, entry: &wire::WaitlistEntry) -> Vec<SlotTime> {
        let venue = self.venue(&entry.venue_id).map(|n| &self.venues[n]);
        venue.map(|venue| Self::slots_within(venue, &entry.date, window(entry))).unwrap_or_default()
    }

    /// What an entry could be offered in a slot. Nobody is offered one slot twice.
    fn wish_of<'a>(&self, entry: &'a wire::WaitlistEntry, slot: SlotTime) -> Option<Wish<'a>> {
        let has_it = |other: &wire::WaitlistEntry| {
            is_open(other)
                && other.waitlist_entry_id != entry.waitlist_entry_id
                && (&other.customer_id, &other.venue_id) == (&entry.customer_id, &entry.venue_id)
                && (date(&other.date), time(&other.start_time)) == slot
        };
        if !entry.latest_start_time.is_empty() && self.waitlist.iter().any(|other| has_it(&other.proto)) {
            return None;
        }
        self.wish_in(Wish::new(&entry.venue_id, slot, entry.party_size), &entry.areas)
    }

    /// Whether the last of the slots starts within the venue's notice.
    fn too_late(&self, entry: &wire::WaitlistEntry, slots: &[SlotTime]) -> bool {
        let Some(venue) = self.venue(&entry.venue_id).map(|n| &self.venues[n]) else { return false };
        let last = slots.last().and_then(|slot| venue.slots.get(slot));
        last.is_some_and(|slot| slot.starts_at < self.now + TimeDelta::minutes(venue.proto.notice_minutes.into()))
    }
}
