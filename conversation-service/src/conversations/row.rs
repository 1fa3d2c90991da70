//! A conversation as it is stored.

use chrono::{DateTime, Utc};
use teppan_shared::read_error::Corrupted;

use super::{Conversation, ConversationStatus};
use crate::domain::{Channel, ConversationId, UserId};

/// The columns of a conversation.
pub struct ConversationRow {
    pub conversation_id: String,
    pub user_id: Option<String>,
    pub channel: String,
    pub status: String,
    pub message_count: i64,
    pub last_message_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

impl ConversationRow {
    /// The conversation it holds.
    pub fn read(self) -> Result<Conversation, Corrupted> {
        let column = |name| move |_| Corrupted::Column(name);
        Ok(Conversation {
            conversation_id: ConversationId::parse(self.conversation_id)
                .map_err(column("conversations.conversation_id"))?,
            user_id: self.user_id.map(UserId::parse).transpose().map_err(column("conversations.user_id"))?,
            channel: Channel::from_column(&self.channel).ok_or(Corrupted::Column("conversations.channel"))?,
            status: ConversationStatus::from_column(&self.status).ok_or(Corrupted::Column("conversations.status"))?,
            message_count: self.message_count,
            last_message_at: self.last_message_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            closed_at: self.closed_at,
        })
    }
}
