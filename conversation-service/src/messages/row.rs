use chrono::{DateTime, Utc};
use teppan_shared::{read_error::Corrupted, sealing::KeyRing};

use super::{
    Message, TokenCount,
    binding::{Companions, MessageBinding},
    message::Redaction,
};
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Parts, Role},
    emotions::{Emotion, EmotionScore},
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
    pub emotions_sealed: Option<Vec<u8>>,
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

impl MessageRow {
    /// Opens the sealed columns.
    pub fn open(self, ring: &KeyRing) -> Result<Message, Corrupted> {
        let binding = self.binding();
        let companions = Companions {
            parts: self.parts_sealed.is_some(),
            metadata: self.metadata_sealed.is_some(),
            emotions: self.emotions_sealed.is_some(),
        };
        let row = binding.row(companions);
        let open =
            |column, sealed: &Option<Vec<u8>>| sealed.as_ref().map(|it| ring.open(row.of(column), it)).transpose();
        let unreadable = |name| move |_| Corrupted::Column(name);
        let content = open("content_sealed", &self.content_sealed)?;
        let content = content.map(|plain| read_text(&plain, companions)).transpose()?.flatten();
        let parts = open("parts_sealed", &self.parts_sealed)?.map(|plain| Parts::read(plain.to_vec()));
        let metadata = open("metadata_sealed", &self.metadata_sealed)?.map(|plain| Metadata::read(plain.to_vec()));
        let emotion = open_emotion(ring, binding, self.emotion_score, self.emotions_sealed.as_deref())?;
        Ok(Message {
            message_id: self.message_id,
            conversation_id: self.conversation_id,
            sequence: self.sequence,
            role: self.role,
            content,
            parts: parts.transpose().map_err(unreadable("messages.parts_sealed"))?,
            channel: self.channel,
            emotion,
            metadata: metadata.transpose().map_err(unreadable("messages.metadata_sealed"))?,
            sent_at: self.sent_at,
            stored_at: self.stored_at,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            redaction: Redaction::new(self.redacted_at, self.redacted_by),
        })
    }

    fn binding(&self) -> MessageBinding<'_> {
        MessageBinding { message_id: self.message_id, conversation_id: &self.conversation_id, role: self.role }
    }
}

/// The text. Only a message with parts may have an empty one.
fn read_text(plain: &[u8], companions: Companions) -> Result<Option<Content>, Corrupted> {
    if plain.is_empty() && companions.parts {
        return Ok(None);
    }
    let text = String::from_utf8(plain.to_vec()).ok().and_then(|text| Content::parse(text).ok());
    text.map(Some).ok_or(Corrupted::Column("messages.content_sealed"))
}

/// The emotion of a message, from its columns.
pub fn open_emotion(
    ring: &KeyRing,
    binding: MessageBinding<'_>,
    score: Option<EmotionScore>,
    names: Option<&[u8]>,
) -> Result<Option<Emotion>, Corrupted> {
    let names = names.map(|sealed| ring.open(binding.emotions_row().of("emotions_sealed"), sealed)).transpose()?;
    Emotion::read(score, names.as_ref().map(|plain| plain.as_slice()))
        .map_err(|_| Corrupted::Column("messages.emotions_sealed"))
}
