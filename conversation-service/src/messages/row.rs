//! A message as it is stored, sealed.

use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{KeyRing, Place},
};
use uuid::Uuid;

use super::{Message, TokenCount};
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Role},
    emotions::read_emotion,
};

/// The columns of a message, but for the conversation it was asked for by.
pub struct MessageRow {
    pub message_id: Uuid,
    pub sequence: i64,
    pub role: String,
    pub channel: String,
    pub content_sealed: Vec<u8>,
    pub emotion_score: Option<f64>,
    pub emotion_label: Option<String>,
    pub emotion_detected: Vec<String>,
    pub metadata_sealed: Option<Vec<u8>>,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub input_tokens: Option<i32>,
    pub output_tokens: Option<i32>,
}

/// Where the text of a message is sealed.
pub fn content_place(message_id: &MessageId) -> Place<'_> {
    Place { table: "messages", column: "content_sealed", row: message_id.0.as_bytes() }
}

/// Where the metadata of a message is sealed.
pub fn metadata_place(message_id: &MessageId) -> Place<'_> {
    Place { table: "messages", column: "metadata_sealed", row: message_id.0.as_bytes() }
}

impl MessageRow {
    /// The message, its sealed columns opened.
    pub fn open(self, conversation_id: ConversationId, ring: &KeyRing) -> Result<Message, Corrupted> {
        let column = |name| move |_| Corrupted::Column(name);
        let message_id = MessageId(self.message_id);
        let content = ring.open_text(content_place(&message_id), &self.content_sealed)?;
        let metadata = match &self.metadata_sealed {
            Some(sealed) => Some(ring.open(metadata_place(&message_id), sealed)?.to_vec()),
            None => None,
        };
        let emotion = read_emotion(self.emotion_score, self.emotion_label, self.emotion_detected);
        Ok(Message {
            message_id,
            conversation_id,
            sequence: self.sequence,
            role: Role::from_column(&self.role).ok_or(Corrupted::Column("messages.role"))?,
            content: Content::parse(content).map_err(column("messages.content_sealed"))?,
            channel: Channel::from_column(&self.channel).ok_or(Corrupted::Column("messages.channel"))?,
            emotion: emotion.map_err(column("messages.emotion"))?,
            metadata: metadata.map(Metadata::read).transpose().map_err(column("messages.metadata_sealed"))?,
            sent_at: self.sent_at,
            stored_at: self.stored_at,
            input_tokens: read_tokens(self.input_tokens).map_err(column("messages.input_tokens"))?,
            output_tokens: read_tokens(self.output_tokens).map_err(column("messages.output_tokens"))?,
        })
    }
}

fn read_tokens(column: Option<i32>) -> Result<Option<TokenCount>, &'static str> {
    column.map(TokenCount::parse).transpose()
}
