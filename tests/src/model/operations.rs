//! The operations of a test, as plain data. They name things by position ("the last booking but two"), so that they
//! keep a meaning when earlier steps are removed.

/// One step of a test.
#[derive(Debug, Clone)]
pub enum Step {
    /// Concurrent calls, each by its own client, and Stripe events at the same time.
    AtOnce { calls: Vec<Operation>, sequence: Option<StripeSequence> },
    /// Time passes, and the workers do what is due.
    Pass { minutes: i64 },
}

/// Events about one payment, posted concurrently, perhaps more than once.
#[derive(Debug, Clone)]
pub struct StripeSequence {
    pub booking: Pick,
    pub amount: Amount,
    /// About an earlier payment instead of a new one.
    pub again: Option<u8>,
    pub steps: Vec<StripeStep>,
    /// How often each event is posted.
    pub times: u8,
}

#[derive(Debug, Clone, Copy)]
pub enum StripeStep {
    Succeeded,
    Session,
    Failed,
    Cancelled,
    Refunded {
        percent: u8,
    },
    /// One refund, by its name.
    Refund {
        name: u8,
    },
    RefundFailed {
        name: u8,
    },
    /// One dispute, by its name, of the whole payment or a part.
    Disputed {
        name: u8,
    },
    DisputeWon {
        name: u8,
    },
    /// The first event that was sent about this payment.
    Before,
}

impl Step {
    /// The number of operations in the step.
    pub fn operations(&self) -> usize {
        match self {
            Self::AtOnce { calls, sequence } => {
                calls.len() + sequence.as_ref().map_or(0, |sequence| sequence.steps.len())
            }
            Self::Pass { .. } => 1,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Operation {
    Create(Create),
    Change(Change),
    Pay(Pay),
    ListPayments { booking: Option<Pick> },
    Join(Join),
    Leave { entry: Pick },
    ListWaitlist { venue: Option<u8>, waiting: bool, page_size: i32 },
    UpdateSlot { slot_choice: SlotChoice, closed: Option<bool>, capacity: Option<i32>, price_cents: Option<i64> },
    UpdateVenue { venue: u8, policy: Policy, etag: Etag },
    SetSchedule { venue: u8, variant: u8, exception: Option<Exception> },
    SetFloor { venue: u8, variant: u8 },
    ListFloor { venue: u8, window_minutes: i32 },
    GetBooking { booking: Pick, by_code: bool },
    ListBookings { venue: Option<u8>, filter: Filter, page_size: i32, latest_first: bool },
    ListAvailability { venue: u8, from: Option<u8>, party_size: i32, bookable_only: bool },
    Check { queries: Vec<(SlotChoice, i32)> },
}

/// A slot that may or may not exist: days from today, and one of the starts in schedules.
#[derive(Debug, Clone, Copy)]
pub struct SlotChoice {
    pub venue: u8,
    pub day: u8,
    pub start: u8,
}

#[derive(Debug, Clone)]
pub struct Create {
    pub key: Key,
    pub slot_choice: SlotChoice,
    pub party_size: i32,
    pub guest: u8,
    pub conversation: bool,
    pub expected: Expected,
    pub allow_duplicate: bool,
    /// The wanted area, by its number.
    pub area: Option<u8>,
    /// A party at the door: for the next start instead of the chosen slot.
    pub walk_in: bool,
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone)]
pub struct Join {
    pub key: Key,
    pub slot_choice: SlotChoice,
    /// Instead, this one of the full slots.
    pub full: Option<u8>,
    /// Up to this start, if it is later.
    pub latest: Option<u8>,
    /// In these areas, by their numbers.
    pub areas: Vec<u8>,
    pub party_size: i32,
    pub guest: u8,
}

/// An idempotency key, and the request that it is sent with.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    New,
    /// An earlier call once more.
    Again {
        back: u8,
    },
    /// The key of an earlier call with another request.
    Reused {
        back: u8,
    },
}

/// The price that the customer expects.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    Any,
    Current,
    Other,
}

/// A payment or refund.
#[derive(Debug, Clone)]
pub struct Pay {
    pub key: Key,
    pub booking: Pick,
    pub amount: Amount,
    pub back: bool,
    pub etag: Etag,
    /// In another currency than the booking.
    pub foreign: bool,
    /// For tips and extras.
    pub extra: bool,
}

/// An amount, relative to what is missing or owed.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// The missing part of the deposit, or of the fee of a no-show, or, for a refund, the refund due.
    Due,
    /// The missing part of the total, or, for a refund, the paid amount.
    All,
    Cents(i64),
}

/// A violation in a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    NoKey,
    NoVenue,
    NoParty,
    NoEmail,
    NegativePrice,
    PartyOf(i32),
}

/// A booking, counted back from the last one.
#[derive(Debug, Clone, Copy)]
pub struct Pick {
    pub back: u8,
    /// Only bookings that take seats.
    pub live: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Etag {
    None,
    Current,
    Stale,
}

#[derive(Debug, Clone)]
pub struct Change {
    pub booking: Pick,
    pub etag: Etag,
    pub wish: Wish,
}

#[derive(Debug, Clone)]
pub enum Wish {
    Confirm,
    Cancel {
        by_venue: bool,
    },
    Reschedule {
        day: Option<u8>,
        start: Option<u8>,
        party_size: Option<i32>,
        expected: Expected,
        allow_duplicate: bool,
        by_venue: bool,
        area: Option<u8>,
    },
    Complete,
    NoShow {
        waive_fee: bool,
    },
    Reinstate,
    /// The party leaves this many minutes after the start.
    Leaves {
        minutes: i64,
    },
    /// Different tables, by their numbers.
    Tables {
        area: Option<u8>,
        tables: Vec<u8>,
    },
    Seat {
        undo: bool,
    },
    /// The guest says that the party comes.
    GuestConfirms,
    /// Sets one of some notes by the venue.
    Note(u8),
}

#[derive(Debug, Clone, Copy)]
pub enum Policy {
    Notice(i32),
    Hold(i32),
    Deposit(i32),
    SetDeposits { per_person: i64, fixed: i64, min_party_size: i32 },
    MinimumSpend(i64),
    NoShowFee(i64),
    Refunds { full_hours: i32, late_percent: i32 },
    Parties { min: i32, max: i32 },
}

#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub day: u8,
    pub what: Different,
}

#[derive(Debug, Clone, Copy)]
pub enum Different {
    Closed,
    Capacity(i32),
    Price(i64),
}

#[derive(Debug, Clone, Copy)]
pub enum Filter {
    All,
    Day(u8),
    Guest(u8),
    Live,
    Pending,
}
