//! The waitlist of a slot: its entries and their states.

use chrono::NaiveTime;

use super::{
    AreaKey, Contact, ConversationId, IdempotencyKey, PartySize, Refusal, SlotKey, Source, SpecialRequests,
    WaitlistEntryId,
};

/// The state of a waitlist entry. A trigger in the schema changes it together with the booking that holds the offered
/// seats, so this crate has no table of transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::EnumCount)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", const_into_str)]
pub enum WaitlistEntryStatus {
    Waiting,
    Offered,
    Accepted,
    Lapsed,
    Left,
    Closed,
}

/// A request to join the waitlist of a slot.
#[derive(Clone)]
pub struct NewWaitlistEntry {
    pub key: IdempotencyKey,
    /// The slot, or the first start of the window.
    pub slot: SlotKey,
    pub window: Option<StartWindow>,
    pub party_size: PartySize,
    pub contact: Contact,
    pub conversation_id: Option<ConversationId>,
    pub special_requests: Option<SpecialRequests>,
    pub source: Option<Source>,
    /// True: decide and answer, but write nothing.
    pub validate_only: bool,
}

/// The other end of a window of starts, and where the party would sit.
#[derive(Debug, Clone)]
pub struct StartWindow {
    pub latest_start: NaiveTime,
    /// Different areas, in the order of preference; empty: any.
    pub areas: Vec<AreaKey>,
}

impl StartWindow {
    pub const AREAS_MAX: usize = 20;
}

/// Why a customer cannot join the waitlist of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRefusal {
    /// The venue refuses the party for this slot, even if seats become free.
    Slot(Refusal),
    /// The seats can be booked now.
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
