//! What is still to be told to others.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};

use teppan_shared::outbox::NO_ANSWER;

use super::{BookingId, EventId};

/// The first pause before a delivery is tried again, and the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// Where outbox messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxDestination {
    /// Follow-ups.
    ConversationService,
    /// NATS JetStream, where it is set up.
    EventStream,
}

impl OutboxDestination {
    pub const ALL: [Self; 2] = [Self::ConversationService, Self::EventStream];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConversationService => "conversation-service",
            Self::EventStream => "event-stream",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|destination| destination.as_str() == raw)
    }
}

impl fmt::Display for OutboxDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message that was claimed, with the event it carries.
#[derive(Debug, Clone)]
pub struct OutboxMessage {
    pub booking_id: BookingId,
    pub version: i64,
    /// The number of the claim: what becomes of the delivery is accepted only under it.
    pub claim: i64,
    /// Deliveries so far that count, this one among them.
    pub attempts: i32,
    /// Empty when none failed.
    pub last_error_reason: String,
    pub traceparent: Option<String>,
    /// When it was committed.
    pub created_at: DateTime<Utc>,
    pub event_id: EventId,
    /// Such as `teppan.booking.created.v1`.
    pub event_type: String,
    pub occurred_at: DateTime<Utc>,
    /// The event as JSON.
    pub data: String,
}

/// Why a message was not delivered, with a reason in UPPER_SNAKE_CASE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// It may be taken the next time.
    Failed(String),
    /// It will never be taken.
    Refused(String),
    /// Nothing is taken, from anybody: that is not the message's fault.
    Away(String),
    /// It will be taken, but not before so long: that is nobody's fault.
    Later(String, Duration),
    /// There was no answer in time: the fault of the message only when others were answered meanwhile.
    Silent,
}

impl Undelivered {
    pub fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) | Self::Refused(reason) | Self::Away(reason) | Self::Later(reason, _) => reason,
            Self::Silent => NO_ANSWER,
        }
    }
}

/// The pause after so many attempts, to be jittered: doubling, up to a bound.
pub fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
    PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds = |attempts| pause_after(attempts).as_secs();
        assert_eq!([0, 1, 2, 3, 9, 10, i32::MAX].map(seconds), [1, 1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn a_destination_reads_back() {
        for destination in OutboxDestination::ALL {
            assert_eq!(OutboxDestination::from_column(destination.as_str()), Some(destination));
        }
        assert_eq!(OutboxDestination::from_column("log"), None);
    }
}
