use chrono::{DateTime, Utc};

use super::TokenCount;
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Role, SentAt, UserId},
    emotions::Emotion,
};

/// A message to be stored.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub role: Role,
    pub content: Content,
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

/// A stored message.
#[derive(Debug, Clone)]
pub struct Message {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// Its number in the conversation: 1, 2, 3 and so on.
    pub sequence: i64,
    pub role: Role,
    pub content: Content,
    pub channel: Channel,
    pub emotion: Option<Emotion>,
    pub metadata: Option<Metadata>,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub input_tokens: Option<TokenCount>,
    pub output_tokens: Option<TokenCount>,
}
