//! The queues of full slots: the calls, and the work of the workers.

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

/// A waitlist entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Without the position and the end of the offer, which are computed.
    pub proto: wire::WaitlistEntry,
    pub request: JoinWaitlistRequest,
}

/// The booking of an offer, with the names that only the service can choose.
#[derive(Debug, Clone)]
pub struct Named {
    pub booking_id: String,
    pub confirmation_code: String,
}

/// A step of a worker between calls.
#[derive(Debug, Clone, Copy)]
pub enum WorkerStep {
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
            return Ok(Reply::Joined(JoinWaitlistResponse {
                entry: Some(self.shown(n)),
                replayed: true,
                ..Default::default()
            }));
        }
        let slot = (date(&request.date), time(&request.start_time));
        let wish = Wish::new(&request.venue_id, slot, request.party_size);
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
        if let Some(entry) = self.waitlist.iter().find(|entry| waits(&entry.proto)) {
            return Err(Refused::precondition("ALREADY_WAITING").with("status", entry.proto.status().as_str_name()));
        }
        if reason.is_none() {
            return Err(Refused::precondition("SLOT_AVAILABLE").with("open_seats", self.open_seats(wish)));
        }
        let venue = &self.venues[self.venue(&request.venue_id).unwrap_or_default()];
        let capacity = self.capacity_for_one(venue, &venue.slots[&slot], &[]);
        if request.party_size > capacity {
            return Err(Refused::precondition("PARTY_EXCEEDS_CAPACITY").with("capacity", capacity));
        }
        let proto = wire::WaitlistEntry {
            waitlist_entry_id: named.waitlist_entry_id,
            status: WaitlistEntryStatus::Waiting.into(),
            venue_id: request.venue_id.clone(),
            date: request.date.clone(),
            start_time: request.start_time.clone(),
            starts_at: Some(timestamp(venue.slots[&slot].starts_at)),
            time_zone: venue.proto.time_zone.clone(),
            party_size: request.party_size,
            customer_id: customer_id.clone(),
            conversation_id: request.conversation_id.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            ..Default::default()
        };
        Arc::make_mut(&mut self.customers).insert(email, customer_id);
        self.waitlist.push(Arc::new(Entry { proto, request: request.clone() }));
        let entry = Some(self.shown(self.waitlist.len() - 1));
        Ok(Reply::Joined(JoinWaitlistResponse { entry, ..Default::default() }))
    }

    pub(super) fn leave_waitlist(&mut self, request: &LeaveWaitlistRequest) -> Answer {
        let named = |entry: &Arc<Entry>| entry.proto.waitlist_entry_id == request.waitlist_entry_id;
        let n = self.waitlist.iter().position(named).ok_or_else(|| Refused::not_found("WAITLIST_ENTRY_NOT_FOUND"))?;
        match self.waitlist[n].proto.status() {
            WaitlistEntryStatus::Left => {}
            WaitlistEntryStatus::Waiting => self.end(n, WaitlistEntryStatus::Left),
            WaitlistEntryStatus::Offered => {
                let booking_id = self.waitlist[n].proto.booking_id.clone();
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

    /// All matching entries, in the order of joining.
    pub(super) fn list_waitlist(&self, request: &ListWaitlistRequest) -> Reply {
        let matches = |entry: &wire::WaitlistEntry| {
            (request.venue_id.is_empty() || entry.venue_id == request.venue_id)
                && (request.date.is_empty() || entry.date == request.date)
                && (request.start_time.is_empty() || entry.start_time == request.start_time)
                && (request.customer_id.is_empty() || entry.customer_id == request.customer_id)
                && (request.statuses.is_empty() || request.statuses.contains(&entry.status))
        };
        let listed = (0..self.waitlist.len()).filter(|&n| matches(&self.waitlist[n].proto));
        Reply::Waitlist(listed.map(|n| self.shown(n)).collect())
    }

    /// An entry with its position and the end of its offer.
    fn shown(&self, n: usize) -> wire::WaitlistEntry {
        let mut proto = self.waitlist[n].proto.clone();
        match proto.status() {
            WaitlistEntryStatus::Waiting => {
                let ahead = self.waitlist[..n].iter().filter(|other| waits_with(&other.proto, &proto)).count();
                proto.position = i32::try_from(ahead + 1).unwrap_or(i32::MAX);
            }
            WaitlistEntryStatus::Offered => {
                let booking = self.booking(&proto.booking_id).map(|n| &self.bookings[n].proto);
                proto.offer_expires_at = booking.and_then(|booking| booking.hold_expires_at);
                if let Some(booking) = booking {
                    proto.offered_total_cents = booking.total_cents;
                    proto.offered_currency.clone_from(&booking.currency);
                    proto.offered_area.clone_from(&booking.area);
                }
            }
            _ => {}
        }
        proto
    }

    fn end(&mut self, n: usize, status: WaitlistEntryStatus) {
        let entry = Arc::make_mut(&mut self.waitlist[n]);
        entry.proto.set_status(status);
        entry.proto.updated_at = Some(timestamp(self.now));
    }

    /// Updates the entry of an offer to the state of its booking. An accepted entry stays accepted.
    pub(super) fn follow(&mut self, n: usize) {
        let proto = &self.bookings[n].proto;
        let status = match proto.status() {
            BookingStatus::Confirmed => WaitlistEntryStatus::Accepted,
            BookingStatus::Expired => WaitlistEntryStatus::Lapsed,
            BookingStatus::Cancelled => WaitlistEntryStatus::Left,
            _ => return,
        };
        let of = |entry: &Arc<Entry>| entry.proto.waitlist_entry_id == proto.waitlist_entry_id;
        if let Some(n) = self.waitlist.iter().position(of) {
            let now = self.waitlist[n].proto.status();
            if now != WaitlistEntryStatus::Accepted && now != status {
                self.end(n, status);
            }
        }
    }

    /// A customer who has taken seats in a slot leaves its queue.
    pub(super) fn leave_queue(&mut self, n: usize) {
        let proto = self.bookings[n].proto.clone();
        let waits = |entry: &Arc<Entry>| {
            entry.proto.status() == WaitlistEntryStatus::Waiting
                && entry.proto.customer_id == proto.customer_id
                && is_of_slot(&entry.proto, &proto)
        };
        if let Some(entry) = self.waitlist.iter().position(waits) {
            self.end(entry, WaitlistEntryStatus::Left);
        }
    }

    /// Whether the customer of an offer has another offer in the new slot.
    pub(super) fn is_offered(&self, offer: &wire::Booking, moved: &wire::Booking) -> bool {
        self.waitlist.iter().any(|entry| {
            entry.proto.status() == WaitlistEntryStatus::Offered
                && entry.proto.waitlist_entry_id != offer.waitlist_entry_id
                && entry.proto.customer_id == offer.customer_id
                && is_of_slot(&entry.proto, moved)
        })
    }

    /// Moves the entry of a rescheduled offer to the new slot.
    pub(super) fn move_entry(&mut self, n: usize) {
        let proto = self.bookings[n].proto.clone();
        let now = self.now;
        let of = |entry: &Arc<Entry>| entry.proto.waitlist_entry_id == proto.waitlist_entry_id;
        if let Some(entry) = self.waitlist.iter().position(of) {
            let entry = &mut Arc::make_mut(&mut self.waitlist[entry]).proto;
            entry.date.clone_from(&proto.date);
            entry.start_time.clone_from(&proto.start_time);
            entry.starts_at = proto.starts_at;
            entry.updated_at = Some(timestamp(now));
        }
    }

    /// The next steps of the workers: for each queue its next offer, or the end of an entry.
    pub fn moves(&self) -> Vec<WorkerStep> {
        let due = |booking: &Booking| {
            let ends = booking.proto.hold_expires_at.as_ref().map(moment);
            booking.proto.status() == BookingStatus::Pending && ends.is_some_and(|ends| ends <= self.now)
        };
        let all = self.bookings.iter().enumerate();
        let mut moves: Vec<_> =
            all.filter(|(_, booking)| due(booking)).map(|(booking, _)| WorkerStep::Expire { booking }).collect();
        let mut offered: Vec<&wire::WaitlistEntry> = Vec::new();
        for (n, entry) in self.waitlist.iter().enumerate() {
            let proto = &entry.proto;
            if proto.status() != WaitlistEntryStatus::Waiting {
                continue;
            }
            if self.too_late(proto) {
                moves.push(WorkerStep::Close { entry: n });
            } else if !offered.iter().any(|other| waits_with(other, proto)) && self.unavailable(wish(proto)).is_none() {
                offered.push(proto);
                moves.push(WorkerStep::Offer { entry: n });
            }
        }
        moves
    }

    /// Makes a step of a worker. Returns false when the known offers show that it was not made.
    pub fn do_worker_step(&mut self, made: WorkerStep) -> bool {
        match made {
            WorkerStep::Expire { booking } => self.expire(booking),
            WorkerStep::Close { entry } => self.end(entry, WaitlistEntryStatus::Closed),
            WorkerStep::Offer { entry } => return self.offer(entry),
        }
        true
    }

    fn offer(&mut self, n: usize) -> bool {
        let Entry { proto, request } = (*self.waitlist[n]).clone();
        let Some(named) = self.named.get(&proto.waitlist_entry_id).cloned() else { return false };
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
        let starts_at = self.priced(&mut made, wish(&proto));
        self.seat(&mut made, wish(&proto));
        made.set_status(BookingStatus::Pending);
        let venue = &self.venues[self.venue(&proto.venue_id).unwrap_or_default()];
        made.hold_expires_at = Some(timestamp(hold_until(venue.proto.waitlist_hold_minutes, self.now, starts_at)));
        let history = vec![("teppan.booking.created.v1", self.now), ("teppan.waitlist.offered.v1", self.now)];
        self.bookings.push(Arc::new(Booking::new(made, history)));
        Arc::make_mut(&mut self.waitlist[n]).proto.booking_id = named.booking_id;
        self.end(n, WaitlistEntryStatus::Offered);
        true
    }

    /// Whether the slot starts within the venue's notice.
    fn too_late(&self, entry: &wire::WaitlistEntry) -> bool {
        let notice = self.venue(&entry.venue_id).map_or(0, |n| self.venues[n].proto.notice_minutes);
        let starts_at: DateTime<Utc> = entry.starts_at.as_ref().map(moment).unwrap_or_default();
        starts_at < self.now + TimeDelta::minutes(notice.into())
    }
}

/// Whether an entry waits for the slot of a booking.
fn is_of_slot(entry: &wire::WaitlistEntry, booking: &wire::Booking) -> bool {
    (&entry.venue_id, &entry.date, &entry.start_time) == (&booking.venue_id, &booking.date, &booking.start_time)
}

/// Whether two entries wait in the same queue.
fn waits_with(entry: &wire::WaitlistEntry, other: &wire::WaitlistEntry) -> bool {
    entry.status() == WaitlistEntryStatus::Waiting
        && (&entry.venue_id, &entry.date, &entry.start_time) == (&other.venue_id, &other.date, &other.start_time)
}

fn wish(entry: &wire::WaitlistEntry) -> Wish<'_> {
    let slot = (date(&entry.date), time(&entry.start_time));
    Wish::new(&entry.venue_id, slot, entry.party_size)
}
