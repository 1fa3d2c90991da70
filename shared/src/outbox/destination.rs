//! The destination of messages, and the result of a delivery.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::NO_ANSWER;

/// Delivers messages to one destination.
pub trait Destination: Send + Sync + 'static {
    /// Its name in the database and in the metrics.
    const NAME: &'static str;
    /// The name of its relays, for the log and the metrics.
    const WORKER: &'static str;

    /// Delivers a message. The same message may be delivered again, even after a success.
    fn deliver(&self, message: &Message) -> impl Future<Output = Delivery> + Send;
}

/// A claimed message with the event that it carries.
#[derive(Debug, Clone)]
pub struct Message {
    /// The booking or the conversation.
    pub aggregate_id: String,
    pub version: i64,
    /// The number of the claim. A result is recorded only while this is the latest claim.
    pub claim: i64,
    /// Attempts that count so far, including this one.
    pub attempts: i32,
    /// Empty when no delivery failed.
    pub last_error_reason: String,
    pub traceparent: Option<String>,
    /// The time of the commit.
    pub created_at: DateTime<Utc>,
    pub event_id: Uuid,
    /// Such as `teppan.booking.created.v1`.
    pub event_type: String,
    pub occurred_at: DateTime<Utc>,
    /// The event as JSON.
    pub data: String,
}

/// The result of a delivery, and which side decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The destination answered, or could not be reached.
    Tried(Result<(), Undelivered>),
    /// The relay decided without sending anything, so the result does not show the state of the destination.
    Decided(Result<(), Undelivered>),
}

/// Why a message was not delivered, with a reason in UPPER_SNAKE_CASE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// The next attempt may succeed.
    Failed(String),
    /// No attempt will succeed.
    Refused(String),
    /// The destination accepts no messages at all; this message is not the cause.
    Unavailable(String),
    /// The destination will accept the message, but not before this time has passed. The attempt does not count.
    Postponed(String, Duration),
    /// The destination did not answer in time. The message can be the cause only if other messages were answered
    /// meanwhile.
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
