use chrono::{DateTime, Utc};

use super::TokenCount;
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Parts, Role, SentAt, UserId},
    emotions::Emotion,
};

/// A message to be stored: a text, parts, or both.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub role: Role,
    pub content: Option<Content>,
    pub parts: Option<Parts>,
    pub channel: Channel,
    /// It becomes the user of the conversation if that has none.
    pub user_id: Option<UserId>,
    pub emotion: Option<Emotion>,
    pub metadata: Option<Metadata>,
    /// The default is the time of storing.
    pub sent_at: Option<SentAt>,
    pub input_tokens: Option<TokenCount>,
    pub output_tokens: Option<TokenCount>,
}

impl NewMessage {
    /// The text, empty where there is none.
    pub fn text(&self) -> &str {
        self.content.as_ref().map_or("", Content::as_str)
    }
}

/// A stored message.
#[derive(Debug, Clone)]
pub struct Message {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// Its number in the conversation: 1, 2, 3 and so on.
    pub sequence: i64,
    pub role: Role,
    /// `None` in a message of parts only, and in a redacted one.
    pub content: Option<Content>,
    /// `None` in a message of plain text, and in a redacted one.
    pub parts: Option<Parts>,
    pub channel: Channel,
    pub emotion: Option<Emotion>,
    /// `None` without any, and in a redacted message.
    pub metadata: Option<Metadata>,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub input_tokens: Option<TokenCount>,
    pub output_tokens: Option<TokenCount>,
    pub redaction: Option<Redaction>,
}

impl Message {
    /// What its text, parts and metadata take.
    pub fn bytes(&self) -> usize {
        self.content.as_ref().map_or(0, |content| content.as_str().len())
            + self.parts.as_ref().map_or(0, |parts| parts.as_bytes().len())
            + self.metadata.as_ref().map_or(0, |metadata| metadata.as_bytes().len())
    }
}

/// When a message was redacted, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    pub redacted_at: DateTime<Utc>,
    /// The name of the caller's credential; empty where callers need none.
    pub redacted_by: String,
}

impl Redaction {
    /// From the columns.
    pub fn new(redacted_at: Option<DateTime<Utc>>, redacted_by: Option<String>) -> Option<Self> {
        Some(Self { redacted_at: redacted_at?, redacted_by: redacted_by.unwrap_or_default() })
    }
}
