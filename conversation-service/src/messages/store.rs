use chrono::{DateTime, Utc};
use teppan_shared::{fingerprint::optional, postgres::DatabaseError, sealing::Hashes, telemetry};

use super::{
    Message, Messages, NewMessage, TokenCount,
    row::{content_associated_data, metadata_associated_data},
};
use crate::{
    domain::{Metadata, SentAt, UserId},
    emotions::{Emotion, EmotionLabel, EmotionScore},
};

/// The statement, to be prepared when a connection opens.
pub const STATEMENT: &str = include_str!("store.sql");

/// The most runs of the statement for one call. A faster concurrent duplicate costs one more run, which finds the
/// stored message. Further runs are needed only if that message is deleted meanwhile.
const ATTEMPTS_MAX: usize = 4;

/// A message, and whether an earlier call had stored it.
pub struct Stored {
    pub message: Message,
    pub replayed: bool,
}

/// Why there is no stored message.
#[derive(Debug, thiserror::Error)]
pub enum StoreMessageError {
    #[error("another message was stored under this id")]
    KeyReused,
    #[error("the id was taken and freed again in every attempt")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Messages {
    /// Appends a message to its conversation, in one round trip. It creates or reopens the conversation as needed.
    ///
    /// A repeated call with the same message returns the result of the first call, even while the first call is still
    /// running.
    ///
    /// # Errors
    /// [`StoreMessageError`]. If the database does not answer, the message may have been stored; a repeated call
    /// returns the result.
    pub async fn store(&self, new: NewMessage) -> Result<Stored, StoreMessageError> {
        let draft = self.draft(&new);
        for _ in 0..ATTEMPTS_MAX {
            match self.append_message(&new, &draft).await {
                Ok(row) if !draft.fingerprint.matches(&row.fingerprint) => return Err(StoreMessageError::KeyReused),
                Ok(row) => {
                    if new.emotion.as_ref().is_some_and(Emotion::is_counted) {
                        self.emotions.count(&new.conversation_id).await;
                    }
                    return Ok(Stored { replayed: row.outcome == "replayed", message: row.message(new) });
                }
                // A concurrent duplicate was faster: the next run finds its message.
                Err(error) if error.violates("messages_pkey") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreMessageError::Contended)
    }

    /// Everything about the message that is known before the statement runs.
    fn draft(&self, new: &NewMessage) -> Draft {
        let stored_at = self.clock.now();
        Draft {
            fingerprint: self.fingerprint_of(new),
            content_sealed: self.ring.seal(content_associated_data(&new.message_id), new.content.as_str().as_bytes()),
            metadata_sealed: new
                .metadata
                .as_ref()
                .map(|metadata| self.ring.seal(metadata_associated_data(&new.message_id), metadata.as_bytes())),
            sent_at: new.sent_at.map_or(stored_at, SentAt::time),
            stored_at,
            traceparent: telemetry::current_traceparent(),
        }
    }

    /// The call without its message id, as a keyed hash.
    fn fingerprint_of(&self, new: &NewMessage) -> Hashes {
        let emotion = new.emotion.as_ref();
        let mut fields = vec![
            b"StoreMessage".to_vec(),
            new.conversation_id.as_str().into(),
            new.role.as_ref().into(),
            new.content.as_str().into(),
            new.channel.as_ref().into(),
            optional(new.user_id.as_ref().map(UserId::as_str)),
            optional(new.metadata.as_ref().map(Metadata::as_bytes)),
            optional(new.sent_at.map(|at| at.time().timestamp_micros().to_be_bytes())),
            optional(new.input_tokens.map(|count| count.get().to_be_bytes())),
            optional(new.output_tokens.map(|count| count.get().to_be_bytes())),
            optional(emotion.and_then(Emotion::score).map(|score| score.get().to_be_bytes())),
            optional(emotion.and_then(Emotion::label).map(EmotionLabel::as_str)),
        ];
        // Last, because their number varies.
        fields.extend(detected(emotion).map(Vec::from));
        self.fingerprint.hash(fields.iter().map(Vec::as_slice))
    }

    async fn append_message(&self, new: &NewMessage, draft: &Draft) -> Result<Answer, DatabaseError> {
        let emotion = new.emotion.as_ref();
        let detected: Vec<&str> = detected(emotion).collect();
        let append = || {
            sqlx::query_file_as!(
                Answer,
                "src/messages/store.sql",
                new.message_id.0,
                new.conversation_id.as_str(),
                new.user_id.as_ref().map(UserId::as_str),
                new.channel.as_ref(),
                draft.sent_at,
                draft.stored_at,
                new.role.as_ref(),
                draft.content_sealed,
                emotion.and_then(Emotion::score).map(EmotionScore::get),
                emotion.and_then(Emotion::label).map(EmotionLabel::as_str),
                &detected as &[&str],
                draft.metadata_sealed.as_deref(),
                new.input_tokens.map(TokenCount::get),
                new.output_tokens.map(TokenCount::get),
                draft.fingerprint.newest(),
                draft.traceparent.as_deref(),
                draft.stored_at + self.reengagement_after,
            )
        };
        self.database.fetch_one(append).await
    }
}

fn detected(emotion: Option<&Emotion>) -> impl Iterator<Item = &str> {
    emotion.map_or(&[][..], Emotion::detected).iter().map(EmotionLabel::as_str)
}

/// A message before it is written: ciphertexts, hashes and times.
struct Draft {
    fingerprint: Hashes,
    content_sealed: Vec<u8>,
    metadata_sealed: Option<Vec<u8>>,
    sent_at: DateTime<Utc>,
    stored_at: DateTime<Utc>,
    traceparent: Option<String>,
}

/// The row of `store.sql`, which explains the outcomes.
struct Answer {
    outcome: String,
    sequence: i64,
    sent_at: DateTime<Utc>,
    stored_at: DateTime<Utc>,
    fingerprint: Vec<u8>,
}

impl Answer {
    /// The stored message. The fingerprints are equal, so the request has all fields that are not in this row.
    fn message(self, new: NewMessage) -> Message {
        Message {
            message_id: new.message_id,
            conversation_id: new.conversation_id,
            sequence: self.sequence,
            role: new.role,
            content: new.content,
            channel: new.channel,
            emotion: new.emotion,
            metadata: new.metadata,
            sent_at: self.sent_at,
            stored_at: self.stored_at,
            input_tokens: new.input_tokens,
            output_tokens: new.output_tokens,
        }
    }
}
