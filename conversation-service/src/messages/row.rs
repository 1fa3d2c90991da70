use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
};

use super::{Message, TokenCount, message::Redaction};
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Parts, Role},
    emotions::{DetectedEmotions, Emotion, EmotionLabel, EmotionScore},
};

/// A row of `messages`, in the order of its columns, without the last two.
///
/// Statements return it as an anonymous record, because for the table's own type sqlx would query its description.
#[derive(sqlx::Type)]
#[sqlx(type_name = "record")]
pub struct MessageRow {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub sequence: i64,
    pub role: Role,
    pub channel: Channel,
    pub content_sealed: Option<Vec<u8>>,
    pub parts_sealed: Option<Vec<u8>>,
    pub emotion_score: Option<EmotionScore>,
    pub emotion_label: Option<EmotionLabel>,
    pub emotion_detected: DetectedEmotions,
    pub metadata_sealed: Option<Vec<u8>>,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub input_tokens: Option<TokenCount>,
    pub output_tokens: Option<TokenCount>,
    pub redacted_at: Option<DateTime<Utc>>,
    pub redacted_by: Option<String>,
}

/// A row of a statement that answers messages.
pub struct MessageAnswer {
    pub message: MessageRow,
}

/// The associated data of a message's text.
pub fn content_associated_data(message_id: &MessageId) -> AssociatedData<'_> {
    AssociatedData { table: "messages", column: "content_sealed", row: message_id.0.as_bytes() }
}

/// The associated data of a message's parts.
pub fn parts_associated_data(message_id: &MessageId) -> AssociatedData<'_> {
    AssociatedData { table: "messages", column: "parts_sealed", row: message_id.0.as_bytes() }
}

/// The associated data of a message's metadata.
pub fn metadata_associated_data(message_id: &MessageId) -> AssociatedData<'_> {
    AssociatedData { table: "messages", column: "metadata_sealed", row: message_id.0.as_bytes() }
}

impl MessageRow {
    /// Opens the sealed columns.
    pub fn open(self, ring: &KeyRing) -> Result<Message, Corrupted> {
        let column = |name| move |_| Corrupted::Column(name);
        let content = self.open_text(ring)?;
        let parts =
            self.parts_sealed.map(|sealed| ring.open(parts_associated_data(&self.message_id), &sealed)).transpose()?;
        let parts = parts.map(|plain| Parts::read(plain.to_vec()));
        let metadata =
            self.metadata_sealed.map(|sealed| ring.open(metadata_associated_data(&self.message_id), &sealed));
        let metadata = metadata.transpose()?.map(|plain| Metadata::read(plain.to_vec()));
        Ok(Message {
            message_id: self.message_id,
            conversation_id: self.conversation_id,
            sequence: self.sequence,
            role: self.role,
            content,
            parts: parts.transpose().map_err(column("messages.parts_sealed"))?,
            channel: self.channel,
            emotion: Emotion::new(self.emotion_score, self.emotion_label, self.emotion_detected),
            metadata: metadata.transpose().map_err(column("messages.metadata_sealed"))?,
            sent_at: self.sent_at,
            stored_at: self.stored_at,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            redaction: Redaction::new(self.redacted_at, self.redacted_by),
        })
    }

    /// The text. Only a message with parts may have an empty one, and only a redacted message has none.
    fn open_text(&self, ring: &KeyRing) -> Result<Option<Content>, Corrupted> {
        let Some(sealed) = &self.content_sealed else { return Ok(None) };
        let text = ring.open_text(content_associated_data(&self.message_id), sealed)?;
        if text.is_empty() && self.parts_sealed.is_some() {
            return Ok(None);
        }
        Content::parse(text).map(Some).map_err(|_| Corrupted::Column("messages.content_sealed"))
    }
}
