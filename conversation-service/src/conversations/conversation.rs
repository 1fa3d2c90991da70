use chrono::{DateTime, Utc};
use teppan_shared::read_error::Corrupted;

use crate::{
    domain::{Channel, ConversationId, UserId},
    users::Users,
};

/// The state of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr, strum::VariantArray)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ConversationStatus {
    /// The assistant leads it.
    Open,
    /// A member of staff has taken over. New messages do not change that.
    Escalated,
    /// Finished. A new message reopens it.
    Closed,
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
    /// The sequence of the newest message with a score, 0 when there is none.
    pub newest_scored_sequence: i64,
    /// The latest `sent_at` of all messages.
    pub last_message_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

/// A row of `conversations`, in the order of its columns.
///
/// Statements return it as an anonymous record, because for the table's own type sqlx would query its description.
#[derive(Debug, Clone, sqlx::Type)]
#[sqlx(type_name = "record")]
pub struct ConversationRow {
    pub conversation_id: ConversationId,
    pub user_hash: Option<Vec<u8>>,
    pub user_sealed: Option<Vec<u8>>,
    pub channel: Channel,
    pub status: ConversationStatus,
    pub message_count: i64,
    pub newest_scored_sequence: i64,
    pub last_message_at: DateTime<Utc>,
    pub customer_wrote_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

impl ConversationRow {
    /// Opens the user.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(self, users: &Users) -> Result<Conversation, Corrupted> {
        Ok(Conversation {
            user_id: users.open_found(&self.conversation_id, self.user_hash.as_deref(), self.user_sealed.as_deref())?,
            conversation_id: self.conversation_id,
            channel: self.channel,
            status: self.status,
            message_count: self.message_count,
            newest_scored_sequence: self.newest_scored_sequence,
            last_message_at: self.last_message_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            closed_at: self.closed_at,
        })
    }
}
