use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
};

use super::{Message, TokenCount};
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Role},
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
    pub content_sealed: Vec<u8>,
    pub emotion_score: Option<EmotionScore>,
    pub emotion_label: Option<EmotionLabel>,
    pub emotion_detected: DetectedEmotions,
    pub metadata_sealed: Option<Vec<u8>>,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub input_tokens: Option<TokenCount>,
    pub output_tokens: Option<TokenCount>,
}

/// The associated data of a message's text.
pub fn content_associated_data(message_id: &MessageId) -> AssociatedData<'_> {
    AssociatedData { table: "messages", column: "content_sealed", row: message_id.0.as_bytes() }
}

/// The associated data of a message's metadata.
pub fn metadata_associated_data(message_id: &MessageId) -> AssociatedData<'_> {
    AssociatedData { table: "messages", column: "metadata_sealed", row: message_id.0.as_bytes() }
}

impl MessageRow {
    /// Opens the sealed columns.
    pub fn open(self, ring: &KeyRing) -> Result<Message, Corrupted> {
        let column = |name| move |_| Corrupted::Column(name);
        let content = ring.open_text(content_associated_data(&self.message_id), &self.content_sealed)?;
        let metadata =
            self.metadata_sealed.map(|sealed| ring.open(metadata_associated_data(&self.message_id), &sealed));
        let metadata = metadata.transpose()?.map(|plain| Metadata::read(plain.to_vec()));
        Ok(Message {
            message_id: self.message_id,
            conversation_id: self.conversation_id,
            sequence: self.sequence,
            role: self.role,
            content: Content::parse(content).map_err(column("messages.content_sealed"))?,
            channel: self.channel,
            emotion: Emotion::new(self.emotion_score, self.emotion_label, self.emotion_detected),
            metadata: metadata.transpose().map_err(column("messages.metadata_sealed"))?,
            sent_at: self.sent_at,
            stored_at: self.stored_at,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
        })
    }
}
