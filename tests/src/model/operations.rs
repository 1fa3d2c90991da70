//! What a test does, as plain data. Everything is named relative to what there is ("the last booking but two"),
//! so that steps keep a meaning when others before them are left out.

/// One step of a test.
#[derive(Debug, Clone)]
pub enum Step {
    /// Calls that are made at once, by as many clients, and what Stripe tells at the same time.
    AtOnce { calls: Vec<Operation>, story: Option<Story> },
    /// Time passes, and the workers do what is due.
    Pass { minutes: i64 },
}

/// Events about one payment, posted at once and perhaps again.
#[derive(Debug, Clone)]
pub struct Story {
    pub booking: Pick,
    pub amount: Amount,
    /// Of an earlier payment, not of a new one.
    pub again: Option<u8>,
    pub tells: Vec<Tells>,
    /// How often each event is posted.
    pub times: u8,
}

#[derive(Debug, Clone, Copy)]
pub enum Tells {
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
    /// One dispute, by its name: of the whole or of a part.
    Disputed {
        name: u8,
    },
    DisputeWon {
        name: u8,
    },
    /// The first event of this payment that was told.
    Before,
}

impl Step {
    /// How many operations it counts as.
    pub fn operations(&self) -> usize {
        match self {
            Self::AtOnce { calls, story } => calls.len() + story.as_ref().map_or(0, |story| story.tells.len()),
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
    UpdateSlot { place: Place, closed: Option<bool>, capacity: Option<i32>, price_cents: Option<i64> },
    UpdateVenue { venue: u8, policy: Policy, etag: Etag },
    SetSchedule { venue: u8, variant: u8, exception: Option<Exception> },
    GetBooking { booking: Pick, by_code: bool },
    ListBookings { venue: Option<u8>, filter: Filter, page_size: i32, latest_first: bool },
    ListAvailability { venue: u8, from: Option<u8>, party_size: i32, bookable_only: bool },
    Check { queries: Vec<(Place, i32)> },
}

/// A slot, that may or may not be there: days from today, and one of the starts that schedules know.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub venue: u8,
    pub day: u8,
    pub start: u8,
}

#[derive(Debug, Clone)]
pub struct Create {
    pub key: Key,
    pub place: Place,
    pub party_size: i32,
    pub guest: u8,
    pub conversation: bool,
    pub expected: Expected,
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone)]
pub struct Join {
    pub key: Key,
    pub place: Place,
    /// Not there, but where this one of the slots is that are full.
    pub full: Option<u8>,
    pub party_size: i32,
    pub guest: u8,
}

/// Which idempotency key, and whose request.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    New,
    /// The call before, or one that was made earlier, once more.
    Again {
        back: u8,
    },
    /// Its key, with another request.
    Reused {
        back: u8,
    },
}

/// The price that the customer was told.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    Any,
    Current,
    Other,
}

/// Money that moves.
#[derive(Debug, Clone)]
pub struct Pay {
    pub key: Key,
    pub booking: Pick,
    pub amount: Amount,
    pub back: bool,
    pub etag: Etag,
    /// In another currency than the booking's.
    pub foreign: bool,
}

/// How much, where it matters what is missing or owed.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// What is missing of the deposit, or, of a refund, what is owed.
    Due,
    /// What is missing of the whole price, or, of a refund, all that was paid.
    All,
    Cents(i64),
}

/// What is wrong with a request.
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
    /// Only of those that take seats.
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
    Cancel { by_venue: bool },
    Reschedule { day: Option<u8>, start: Option<u8>, party_size: Option<i32>, expected: Expected },
    Complete,
    NoShow,
}

#[derive(Debug, Clone, Copy)]
pub enum Policy {
    Notice(i32),
    Hold(i32),
    Deposit(i32),
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
