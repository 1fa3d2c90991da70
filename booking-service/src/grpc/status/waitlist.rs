//! Maps the errors about the waitlist to gRPC statuses.

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
            "The slot has enough open seats: book them now with CreateBooking.",
        )
        .with("open_seats", open_seats)
        .into(),
        JoinWaitlistError::Refused(JoinRefusal::PartyExceedsCapacity { capacity }) => Failure::precondition(
            "PARTY_EXCEEDS_CAPACITY",
            slot_name(new.slot),
            "The party needs more seats than the slot has: choose a smaller party or another slot.",
        )
        .with("capacity", capacity)
        .into(),
        JoinWaitlistError::Refused(JoinRefusal::AlreadyWaiting { waitlist_entry_id, status }) => Failure::precondition(
            "ALREADY_WAITING",
            entry_name(*waitlist_entry_id),
            "The customer already waits for this slot or has an offer: keep that entry, or leave the waitlist first.",
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
            "The customer no longer waits for this slot. To give up an accepted offer, call CancelBooking.",
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
