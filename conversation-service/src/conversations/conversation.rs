use chrono::{DateTime, Utc};

use crate::domain::{Channel, ConversationId, UserId};

/// The state of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationStatus {
    /// The assistant leads it.
    Open,
    /// A person has taken over. New messages leave it so.
    Escalated,
    /// Finished. A new message opens it again.
    Closed,
}

impl ConversationStatus {
    pub const ALL: [Self; 3] = [Self::Open, Self::Escalated, Self::Closed];

    /// What the database keeps.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Escalated => "ESCALATED",
            Self::Closed => "CLOSED",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_column() == raw)
    }
}

/// One conversation with one customer.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub conversation_id: ConversationId,
    pub user_id: Option<UserId>,
    /// The channel of the first message.
    pub channel: Channel,
    pub status: ConversationStatus,
    /// Equal to the sequence of the newest message.
    pub message_count: i64,
    /// The latest `sent_at` of all messages.
    pub last_message_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}
