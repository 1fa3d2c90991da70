use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::{Channel, Content, ConversationId, MessageId, Metadata, NUL, TimeZone, UserId};

const SUBJECT_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 100;

/// The id of a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FollowUpId(pub Uuid);

impl FollowUpId {
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let must = "must be a UUID, such as 0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
        Uuid::try_parse(raw).map(Self).map_err(|_| must)
    }
}

impl fmt::Display for FollowUpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a follow-up is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUpTrigger {
    PostEvent,
    Reengagement,
    EmotionBased,
    Custom,
}

impl FollowUpTrigger {
    pub const ALL: [Self; 4] = [Self::PostEvent, Self::Reengagement, Self::EmotionBased, Self::Custom];

    /// What the database keeps.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::PostEvent => "POST_EVENT",
            Self::Reengagement => "REENGAGEMENT",
            Self::EmotionBased => "EMOTION_BASED",
            Self::Custom => "CUSTOM",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_column() == raw)
    }
}

/// The state of a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUpStatus {
    /// Waits until it is due, or until its next attempt.
    Pending,
    /// Under a lease.
    Claimed,
    /// Sent, and stored as a message.
    Completed,
    Cancelled,
    /// Every attempt failed.
    Failed,
    /// Overdue for too long to be sent.
    Missed,
}

impl FollowUpStatus {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Claimed, Self::Completed, Self::Cancelled, Self::Failed, Self::Missed];

    /// What the database keeps.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Claimed => "CLAIMED",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
            Self::Missed => "MISSED",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_column() == raw)
    }
}

/// The thing a follow-up is about: at most 200 characters, an id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject(String);

impl Subject {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if raw.chars().count() > SUBJECT_CHARS_MAX {
            Err("must be at most 200 characters")
        } else if raw.contains(NUL) {
            Err("must not contain the character U+0000")
        } else {
            Ok(Self(raw))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a follow-up could not be sent: `UPPER_SNAKE_CASE`, 1 to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureReason(String);

impl FailureReason {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let mut bytes = raw.bytes();
        let starts = bytes.next().is_some_and(|byte| byte.is_ascii_uppercase());
        let goes_on = bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if starts && goes_on && raw.len() <= REASON_CHARS_MAX {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 100 characters in UPPER_SNAKE_CASE, such as CHANNEL_UNREACHABLE")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A follow-up as it is stored, its text opened.
#[derive(Debug, Clone)]
pub struct FollowUp {
    pub follow_up_id: FollowUpId,
    pub conversation_id: ConversationId,
    pub trigger: FollowUpTrigger,
    pub subject: Subject,
    pub status: FollowUpStatus,
    pub due_at: DateTime<Utc>,
    pub time_zone: TimeZone,
    /// `None`: the conversation's.
    pub channel: Option<Channel>,
    pub user_id: Option<UserId>,
    /// Given when scheduled, or chosen when it fell due.
    pub content: Option<Content>,
    pub metadata: Option<Metadata>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub last_failure_reason: Option<FailureReason>,
    /// The message it becomes.
    pub message_id: MessageId,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reason_is_upper_snake_case() {
        for good in ["A", "CHANNEL_UNREACHABLE", "E404", &"X".repeat(100)] {
            assert!(FailureReason::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a", "_A", "4A", "CHANNEL UNREACHABLE", &"X".repeat(101)] {
            assert!(FailureReason::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
