//! What the outboxes of both services have in common: dead letters and what operators do with them, and what is
//! counted about deliveries. How messages are claimed and delivered is each service's own.

mod command;
mod dead_letters;
mod metrics;
mod requests;

pub use self::{
    command::{CommandError, DeadLettersCommand},
    dead_letters::{
        DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterSelection, DeadLetters, Settled, Settlement,
    },
    metrics::DeliveryMetrics,
    requests::{EVENT_TYPE_MUST, PAGE_SIZES, decode_ids, decode_token, is_event_type},
};

/// The reason when a destination did not answer in time.
pub const NO_ANSWER: &str = "DEADLINE_EXCEEDED";
/// The reason when the last attempt ended with the process that made it.
pub const LEASE_EXPIRED: &str = "LEASE_EXPIRED";
