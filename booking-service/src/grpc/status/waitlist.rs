//! What a client is told of the waitlist.

use teppan_shared::status::Failure;
use tonic::Status;

use super::{Kind, key_reused, not_found, phone, refused, slot_name};
use crate::{
    domain::{JoinRefusal, NewWaitlistEntry, WaitlistEntryId},
    grpc::encode_waitlist_entry::waitlist_entry_status,
    waitlist::join::JoinWaitlistError,
    waitlist::leave::LeaveWaitlistError,
};

pub const WAITLIST_ENTRY: Kind = ("waitlist entry", "WAITLIST_ENTRY_NOT_FOUND");

pub fn join_waitlist(error: &JoinWaitlistError, new: &NewWaitlistEntry) -> Status {
    match error {
        JoinWaitlistError::KeyReused => key_reused(),
        JoinWaitlistError::Phone(fault) => phone(*fault),
        JoinWaitlistError::Refused(JoinRefusal::Slot(refusal)) => refused(*refusal, &new.slot),
        JoinWaitlistError::Refused(JoinRefusal::SlotAvailable { open_seats }) => Failure::precondition(
            "SLOT_AVAILABLE",
            slot_name(new.slot),
            "There is nothing to wait for: the seats can be booked now, with CreateBooking.",
        )
        .with("open_seats", open_seats)
        .into(),
        JoinWaitlistError::Refused(JoinRefusal::PartyExceedsCapacity { capacity }) => Failure::precondition(
            "PARTY_EXCEEDS_CAPACITY",
            slot_name(new.slot),
            "The slot has not so many seats, however many come free: ask for fewer guests or another slot.",
        )
        .with("capacity", capacity)
        .into(),
        JoinWaitlistError::Refused(JoinRefusal::AlreadyWaiting { waitlist_entry_id, status }) => Failure::precondition(
            "ALREADY_WAITING",
            entry_name(*waitlist_entry_id),
            "The customer waits for this slot, or has an offer of it: keep that entry, or leave it first.",
        )
        .with("waitlist_entry_id", waitlist_entry_id)
        .with("status", waitlist_entry_status(*status).as_str_name())
        .into(),
        JoinWaitlistError::Contended => Failure::overloaded().into(),
        JoinWaitlistError::Corrupted(error) => error.to_failure().into(),
        JoinWaitlistError::Database(error) => error.to_failure().into(),
    }
}

pub fn leave_waitlist(error: &LeaveWaitlistError, id: WaitlistEntryId) -> Status {
    match error {
        LeaveWaitlistError::NotFound => not_found(WAITLIST_ENTRY, &id.to_string()),
        LeaveWaitlistError::Closed(status) => Failure::precondition(
            "WAITLIST_ENTRY_CLOSED",
            entry_name(id),
            "The customer no longer waits: an offer that was taken is given up with CancelBooking.",
        )
        .with("status", waitlist_entry_status(*status).as_str_name())
        .into(),
        LeaveWaitlistError::Contended => Failure::overloaded().into(),
        LeaveWaitlistError::Corrupted(error) => error.to_failure().into(),
        LeaveWaitlistError::Database(error) => error.to_failure().into(),
    }
}

fn entry_name(id: WaitlistEntryId) -> String {
    format!("waitlistEntries/{id}")
}
