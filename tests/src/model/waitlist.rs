//! The queues for slots that are full: the calls, and what the workers do of their own accord.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    contract::booking::v1::{
        self as wire, BookingStatus, CancelBookingRequest, CancellationInitiator, JoinWaitlistRequest,
        JoinWaitlistResponse, LeaveWaitlistRequest, ListWaitlistRequest, UnavailableReason, WaitlistEntryStatus,
    },
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    rules::{Wish, hold_until},
    state::{Booking, Model, date, moment, time},
};

/// A place in the queue.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Without position and end of the offer, which follow from everything else.
    pub told: wire::WaitlistEntry,
    pub request: JoinWaitlistRequest,
}

/// The booking that an offer became, by the names that only the service can give.
#[derive(Debug, Clone)]
pub struct Named {
    pub booking_id: String,
    pub confirmation_code: String,
}

/// What a worker does between calls.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    Expire { booking: usize },
    Offer { entry: usize },
    Close { entry: usize },
}

impl Model {
    pub(super) fn join_waitlist(&mut self, request: &JoinWaitlistRequest, seen: &Answer) -> Answer {
        let used = |entry: &&Arc<Entry>| entry.request.idempotency_key == request.idempotency_key;
        if let Some(n) = self.waitlist.iter().position(|entry| used(&entry)) {
            if self.waitlist[n].request != *request {
                return Err(Refused::new(tonic::Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
            }
            return Ok(Reply::Joined(JoinWaitlistResponse { entry: Some(self.shown(n)), replayed: true }));
        }
        let slot = (date(&request.date), time(&request.start_time));
        let wish = Wish { venue_id: &request.venue_id, slot, party_size: request.party_size, but: None };
        let reason = self.unavailable(wish);
        if let Some(refused) = self.refused(wish).filter(|_| reason != Some(UnavailableReason::SlotFull)) {
            return Err(refused);
        }
        let named = match seen {
            Ok(Reply::Joined(response)) => response.entry.clone().unwrap_or_default(),
            _ => wire::WaitlistEntry::default(),
        };
        let email = request.contact.as_ref().map(|contact| contact.email.clone()).unwrap_or_default();
        let customer_id = self.customers.get(&email).cloned().unwrap_or(named.customer_id);
        let waits = |entry: &wire::WaitlistEntry| {
            matches!(entry.status(), WaitlistEntryStatus::Waiting | WaitlistEntryStatus::Offered)
                && (&entry.customer_id, &entry.venue_id) == (&customer_id, &request.venue_id)
                && (&entry.date, &entry.start_time) == (&request.date, &request.start_time)
        };
        if let Some(entry) = self.waitlist.iter().find(|entry| waits(&entry.told)) {
            return Err(Refused::precondition("ALREADY_WAITING").with("status", entry.told.status().as_str_name()));
        }
        if reason.is_none() {
            return Err(Refused::precondition("SLOT_AVAILABLE").with("open_seats", self.open_seats(wish)));
        }
        let venue = &self.venues[self.venue(&request.venue_id).unwrap_or_default()];
        let capacity = venue.slots[&slot].capacity;
        if request.party_size > capacity {
            return Err(Refused::precondition("PARTY_EXCEEDS_CAPACITY").with("capacity", capacity));
        }
        let told = wire::WaitlistEntry {
            waitlist_entry_id: named.waitlist_entry_id,
            status: WaitlistEntryStatus::Waiting.into(),
            venue_id: request.venue_id.clone(),
            date: request.date.clone(),
            start_time: request.start_time.clone(),
            starts_at: Some(timestamp(venue.slots[&slot].starts_at)),
            time_zone: venue.told.time_zone.clone(),
            party_size: request.party_size,
            customer_id: customer_id.clone(),
            conversation_id: request.conversation_id.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            ..Default::default()
        };
        Arc::make_mut(&mut self.customers).insert(email, customer_id);
        self.waitlist.push(Arc::new(Entry { told, request: request.clone() }));
        let entry = Some(self.shown(self.waitlist.len() - 1));
        Ok(Reply::Joined(JoinWaitlistResponse { entry, replayed: false }))
    }

    pub(super) fn leave_waitlist(&mut self, request: &LeaveWaitlistRequest) -> Answer {
        let named = |entry: &Arc<Entry>| entry.told.waitlist_entry_id == request.waitlist_entry_id;
        let n = self.waitlist.iter().position(named).ok_or_else(|| Refused::not_found("WAITLIST_ENTRY_NOT_FOUND"))?;
        match self.waitlist[n].told.status() {
            WaitlistEntryStatus::Left => {}
            WaitlistEntryStatus::Waiting => self.end(n, WaitlistEntryStatus::Left),
            WaitlistEntryStatus::Offered => {
                let booking_id = self.waitlist[n].told.booking_id.clone();
                let cancelled_by = CancellationInitiator::Customer.into();
                self.cancel(&CancelBookingRequest {
                    booking_id,
                    etag: String::new(),
                    cancelled_by,
                    validate_only: false,
                })?;
            }
            status => {
                return Err(Refused::precondition("WAITLIST_ENTRY_CLOSED").with("status", status.as_str_name()));
            }
        }
        Ok(Reply::Waits(self.shown(n)))
    }

    /// All that match, in the order of joining.
    pub(super) fn list_waitlist(&self, request: &ListWaitlistRequest) -> Reply {
        let matches = |entry: &wire::WaitlistEntry| {
            (request.venue_id.is_empty() || entry.venue_id == request.venue_id)
                && (request.date.is_empty() || entry.date == request.date)
                && (request.start_time.is_empty() || entry.start_time == request.start_time)
                && (request.customer_id.is_empty() || entry.customer_id == request.customer_id)
                && (request.statuses.is_empty() || request.statuses.contains(&entry.status))
        };
        let listed = (0..self.waitlist.len()).filter(|&n| matches(&self.waitlist[n].told));
        Reply::Waitlist(listed.map(|n| self.shown(n)).collect())
    }

    /// An entry with its place and the end of its offer.
    fn shown(&self, n: usize) -> wire::WaitlistEntry {
        let mut told = self.waitlist[n].told.clone();
        match told.status() {
            WaitlistEntryStatus::Waiting => {
                let ahead = self.waitlist[..n].iter().filter(|other| waits_with(&other.told, &told)).count();
                told.position = i32::try_from(ahead + 1).unwrap_or(i32::MAX);
            }
            WaitlistEntryStatus::Offered => {
                let booking = self.booking(&told.booking_id).map(|n| &self.bookings[n].told);
                told.offer_expires_at = booking.and_then(|booking| booking.hold_expires_at);
            }
            _ => {}
        }
        told
    }

    fn end(&mut self, n: usize, status: WaitlistEntryStatus) {
        let entry = Arc::make_mut(&mut self.waitlist[n]);
        entry.told.set_status(status);
        entry.told.updated_at = Some(timestamp(self.now));
    }

    /// An offer goes with its booking; one that was taken stays taken.
    pub(super) fn follow(&mut self, n: usize) {
        let told = &self.bookings[n].told;
        let status = match told.status() {
            BookingStatus::Confirmed => WaitlistEntryStatus::Accepted,
            BookingStatus::Expired => WaitlistEntryStatus::Lapsed,
            BookingStatus::Cancelled => WaitlistEntryStatus::Left,
            _ => return,
        };
        let of = |entry: &Arc<Entry>| entry.told.waitlist_entry_id == told.waitlist_entry_id;
        if let Some(n) = self.waitlist.iter().position(of) {
            let now = self.waitlist[n].told.status();
            if now != WaitlistEntryStatus::Accepted && now != status {
                self.end(n, status);
            }
        }
    }

    /// Who has taken seats of a slot no longer waits for it.
    pub(super) fn leave_queue(&mut self, n: usize) {
        let told = self.bookings[n].told.clone();
        let waits = |entry: &Arc<Entry>| {
            entry.told.status() == WaitlistEntryStatus::Waiting
                && entry.told.customer_id == told.customer_id
                && is_of_slot(&entry.told, &told)
        };
        if let Some(entry) = self.waitlist.iter().position(waits) {
            self.end(entry, WaitlistEntryStatus::Left);
        }
    }

    /// Whether the customer of an offer has another one of this slot.
    pub(super) fn is_offered(&self, offer: &wire::Booking, moved: &wire::Booking) -> bool {
        self.waitlist.iter().any(|entry| {
            entry.told.status() == WaitlistEntryStatus::Offered
                && entry.told.waitlist_entry_id != offer.waitlist_entry_id
                && entry.told.customer_id == offer.customer_id
                && is_of_slot(&entry.told, moved)
        })
    }

    /// An offer that is moved takes its entry along.
    pub(super) fn take_entry_along(&mut self, n: usize) {
        let told = self.bookings[n].told.clone();
        let now = self.now;
        let of = |entry: &Arc<Entry>| entry.told.waitlist_entry_id == told.waitlist_entry_id;
        if let Some(entry) = self.waitlist.iter().position(of) {
            let entry = &mut Arc::make_mut(&mut self.waitlist[entry]).told;
            entry.date.clone_from(&told.date);
            entry.start_time.clone_from(&told.start_time);
            entry.starts_at = told.starts_at;
            entry.updated_at = Some(timestamp(now));
        }
    }

    /// What the workers have to do: of each slot's queue the next offer, or its end.
    pub fn moves(&self) -> Vec<Move> {
        let due = |booking: &Booking| {
            let ends = booking.told.hold_expires_at.as_ref().map(moment);
            booking.told.status() == BookingStatus::Pending && ends.is_some_and(|ends| ends <= self.now)
        };
        let all = self.bookings.iter().enumerate();
        let mut moves: Vec<_> =
            all.filter(|(_, booking)| due(booking)).map(|(booking, _)| Move::Expire { booking }).collect();
        let mut offered: Vec<&wire::WaitlistEntry> = Vec::new();
        for (n, entry) in self.waitlist.iter().enumerate() {
            let told = &entry.told;
            if told.status() != WaitlistEntryStatus::Waiting {
                continue;
            }
            if self.too_late(told) {
                moves.push(Move::Close { entry: n });
            } else if !offered.iter().any(|other| waits_with(other, told)) && self.unavailable(wish(told)).is_none() {
                offered.push(told);
                moves.push(Move::Offer { entry: n });
            }
        }
        moves
    }

    /// Makes a move; false when it was not made, by what is known of the offers.
    pub fn do_move(&mut self, made: Move) -> bool {
        match made {
            Move::Expire { booking } => self.expire(booking),
            Move::Close { entry } => self.end(entry, WaitlistEntryStatus::Closed),
            Move::Offer { entry } => return self.offer(entry),
        }
        true
    }

    fn offer(&mut self, n: usize) -> bool {
        let Entry { told, request } = (*self.waitlist[n]).clone();
        let Some(named) = self.named.get(&told.waitlist_entry_id).cloned() else { return false };
        let mut made = wire::Booking {
            booking_id: named.booking_id.clone(),
            confirmation_code: named.confirmation_code,
            customer_id: told.customer_id.clone(),
            venue_id: told.venue_id.clone(),
            conversation_id: told.conversation_id.clone(),
            special_requests: request.special_requests,
            source: request.source,
            waitlist_entry_id: told.waitlist_entry_id.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            version: 2,
            ..Default::default()
        };
        let starts_at = self.priced(&mut made, wish(&told));
        made.set_status(BookingStatus::Pending);
        let venue = &self.venues[self.venue(&told.venue_id).unwrap_or_default()];
        made.hold_expires_at = Some(timestamp(hold_until(venue.told.waitlist_hold_minutes, self.now, starts_at)));
        let history = vec![("teppan.booking.created.v1", self.now), ("teppan.waitlist.offered.v1", self.now)];
        self.bookings.push(Arc::new(Booking::new(made, history)));
        Arc::make_mut(&mut self.waitlist[n]).told.booking_id = named.booking_id;
        self.end(n, WaitlistEntryStatus::Offered);
        true
    }

    /// Whether the slot is within the venue's notice.
    fn too_late(&self, entry: &wire::WaitlistEntry) -> bool {
        let notice = self.venue(&entry.venue_id).map_or(0, |n| self.venues[n].told.notice_minutes);
        let starts_at: DateTime<Utc> = entry.starts_at.as_ref().map(moment).unwrap_or_default();
        starts_at < self.now + TimeDelta::minutes(notice.into())
    }
}

/// Whether an entry is of a booking's slot.
fn is_of_slot(entry: &wire::WaitlistEntry, booking: &wire::Booking) -> bool {
    (&entry.venue_id, &entry.date, &entry.start_time) == (&booking.venue_id, &booking.date, &booking.start_time)
}

/// Whether an entry waits in the queue of another.
fn waits_with(entry: &wire::WaitlistEntry, other: &wire::WaitlistEntry) -> bool {
    entry.status() == WaitlistEntryStatus::Waiting
        && (&entry.venue_id, &entry.date, &entry.start_time) == (&other.venue_id, &other.date, &other.start_time)
}

fn wish(entry: &wire::WaitlistEntry) -> Wish<'_> {
    let slot = (date(&entry.date), time(&entry.start_time));
    Wish { venue_id: &entry.venue_id, slot, party_size: entry.party_size, but: None }
}
