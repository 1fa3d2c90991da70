//! Where messages go, and how a delivery ends.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::NO_ANSWER;

/// Delivers messages to one destination.
pub trait Destination: Send + Sync + 'static {
    /// As the database and the metrics name it.
    const NAME: &'static str;
    /// The name of its relays, for the log and the metrics.
    const WORKER: &'static str;

    /// Delivers a message. It may get the same message again, even after a success.
    fn deliver(&self, message: &Message) -> impl Future<Output = Delivery> + Send;
}

/// A claimed message with the event that it carries.
#[derive(Debug, Clone)]
pub struct Message {
    /// The booking or the conversation.
    pub aggregate_id: String,
    pub version: i64,
    /// The number of the claim: a result is recorded only under it.
    pub claim: i64,
    /// Deliveries so far that count, including this one.
    pub attempts: i32,
    /// Empty when no delivery failed.
    pub last_error_reason: String,
    pub traceparent: Option<String>,
    /// When it was committed.
    pub created_at: DateTime<Utc>,
    pub event_id: Uuid,
    /// Such as `teppan.booking.created.v1`.
    pub event_type: String,
    pub occurred_at: DateTime<Utc>,
    /// The event as JSON.
    pub data: String,
}

/// How a delivery ended, and who decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The destination answered, or could not be reached.
    Tried(Result<(), Undelivered>),
    /// This side decided without sending anything, so the result says nothing about the destination.
    Decided(Result<(), Undelivered>),
}

/// Why a message was not delivered, with a reason in UPPER_SNAKE_CASE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// The next attempt may succeed.
    Failed(String),
    /// No attempt will succeed.
    Refused(String),
    /// The destination takes no messages at all; this message is not the cause.
    Unavailable(String),
    /// The destination will take it, but not before this time has passed. The attempt does not count.
    Postponed(String, Duration),
    /// The destination did not answer in time. The message may be the cause only if others were answered meanwhile.
    TimedOut,
}

impl Undelivered {
    pub fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) | Self::Refused(reason) | Self::Unavailable(reason) | Self::Postponed(reason, _) => {
                reason
            }
            Self::TimedOut => NO_ANSWER,
        }
    }
}
