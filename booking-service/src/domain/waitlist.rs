//! The queue for a slot: who waits, and what becomes of it.

use super::{
    Contact, ConversationId, IdempotencyKey, PartySize, Refusal, SlotKey, Source, SpecialRequests, WaitlistEntryId,
};

/// The state of a waitlist entry. It moves with the booking that holds the offered seats, by a rule of the
/// schema, so that nothing here says what follows what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitlistEntryStatus {
    Waiting,
    Offered,
    Accepted,
    Lapsed,
    Left,
    Closed,
}

impl WaitlistEntryStatus {
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Offered, Self::Accepted, Self::Lapsed, Self::Left, Self::Closed];

    pub fn as_column(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Offered => "OFFERED",
            Self::Accepted => "ACCEPTED",
            Self::Lapsed => "LAPSED",
            Self::Left => "LEFT",
            Self::Closed => "CLOSED",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_column() == raw)
    }
}

/// A request for a place in the queue.
#[derive(Clone)]
pub struct NewWaitlistEntry {
    pub key: IdempotencyKey,
    pub slot: SlotKey,
    pub party_size: PartySize,
    pub contact: Contact,
    pub conversation_id: Option<ConversationId>,
    pub special_requests: Option<SpecialRequests>,
    pub source: Option<Source>,
    /// Decide and answer, but write nothing.
    pub validate_only: bool,
}

/// Why a customer cannot wait for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRefusal {
    /// The venue would not take the party there, whatever becomes free.
    Slot(Refusal),
    /// There is nothing to wait for.
    SlotAvailable {
        open_seats: i32,
    },
    /// The party is larger than the slot's capacity.
    PartyExceedsCapacity {
        capacity: i32,
    },
    AlreadyWaiting {
        waitlist_entry_id: WaitlistEntryId,
        status: WaitlistEntryStatus,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back() {
        for status in WaitlistEntryStatus::ALL {
            assert_eq!(WaitlistEntryStatus::from_column(status.as_column()), Some(status));
        }
        assert_eq!(WaitlistEntryStatus::from_column("LOST"), None);
    }
}
