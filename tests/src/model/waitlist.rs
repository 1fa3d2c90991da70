//! The queues of full slots, and what becomes of their entries.

use std::sync::Arc;

use chrono::NaiveTime;
use teppan_shared::{
    contract::booking::v1::{
        self as wire, BookingStatus, CancelBookingRequest, CancellationInitiator, JoinWaitlistRequest,
        LeaveWaitlistRequest, ListWaitlistRequest, WaitlistEntryStatus,
    },
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    state::{Model, SlotTime, time},
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
    /// The slot, of those for which the customer waited.
    pub slot: SlotTime,
}

/// The first and the last start for which a customer waits.
pub(super) fn window(entry: &wire::WaitlistEntry) -> (NaiveTime, NaiveTime) {
    if entry.latest_start_time.is_empty() {
        return (time(&entry.start_time), time(&entry.start_time));
    }
    (time(&entry.earliest_start_time), time(&entry.latest_start_time))
}

/// Whether an entry waits, or has an open offer.
pub(super) fn is_open(entry: &wire::WaitlistEntry) -> bool {
    matches!(entry.status(), WaitlistEntryStatus::Waiting | WaitlistEntryStatus::Offered)
}

impl Model {
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
    pub(super) fn shown(&self, n: usize) -> wire::WaitlistEntry {
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

    pub(super) fn end(&mut self, n: usize, status: WaitlistEntryStatus) {
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

    /// A customer who has taken seats in a slot leaves its queue, and the windows that contain it.
    pub(super) fn leave_queue(&mut self, n: usize) {
        let proto = self.bookings[n].proto.clone();
        let waits = |entry: &wire::WaitlistEntry| {
            let (from, until) = window(entry);
            entry.status() == WaitlistEntryStatus::Waiting
                && (&entry.customer_id, &entry.venue_id, &entry.date)
                    == (&proto.customer_id, &proto.venue_id, &proto.date)
                && (from..=until).contains(&time(&proto.start_time))
        };
        for entry in 0..self.waitlist.len() {
            if waits(&self.waitlist[entry].proto) {
                self.end(entry, WaitlistEntryStatus::Left);
            }
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
