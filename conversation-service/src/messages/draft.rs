use chrono::{DateTime, Utc};
use teppan_shared::{fingerprint::optional, sealing::Hashes, telemetry};

use super::{
    Message, Messages, NewMessage,
    binding::{Companions, MessageBinding},
};
use crate::{
    domain::{Metadata, Parts, SentAt, UserId},
    emotions::{Emotion, EmotionLabel, EmotionScore},
    users::SealedUser,
};

/// A message before it is written: ciphertexts, hashes and times.
pub struct Draft {
    fingerprints: Hashes,
    /// Which of them the statement compares: a stored message may have one under an older key.
    compared: usize,
    pub content_sealed: Vec<u8>,
    pub parts_sealed: Option<Vec<u8>>,
    pub metadata_sealed: Option<Vec<u8>>,
    pub emotions_sealed: Option<Vec<u8>>,
    pub user: Option<SealedUser>,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub traceparent: Option<String>,
}

/// What the statements answer of a message that is stored. They compared the fingerprints, so the call holds the rest.
pub struct Receipt {
    pub sequence: i64,
    pub sent_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
}

impl Draft {
    pub fn fingerprint(&self) -> &[u8; 32] {
        self.fingerprints.get(self.compared).unwrap_or(self.fingerprints.newest())
    }

    /// Compares the fingerprint under the next older key from now on. False if there is none.
    pub fn compare_older(&mut self) -> bool {
        let has_older = self.fingerprints.get(self.compared + 1).is_some();
        self.compared += usize::from(has_older);
        has_older
    }
}

impl Messages {
    /// Everything about the message that is known before a statement runs.
    pub(super) fn draft(&self, new: &NewMessage, stored_at: DateTime<Utc>) -> Draft {
        let binding =
            MessageBinding { message_id: new.message_id, conversation_id: &new.conversation_id, role: new.role };
        let emotions = new.emotion.as_ref().and_then(Emotion::names);
        let (parts, metadata) = (new.parts.as_ref(), new.metadata.as_ref());
        let companions =
            Companions { parts: parts.is_some(), metadata: metadata.is_some(), emotions: emotions.is_some() };
        let row = binding.row(companions);
        let seal = |column, plain: &[u8]| self.ring.seal(row.of(column), plain);
        Draft {
            fingerprints: self.fingerprints_of(new),
            compared: 0,
            content_sealed: seal("content_sealed", new.text().as_bytes()),
            parts_sealed: parts.map(|parts| seal("parts_sealed", parts.as_bytes())),
            metadata_sealed: metadata.map(|metadata| seal("metadata_sealed", metadata.as_bytes())),
            emotions_sealed: emotions.map(|names| self.ring.seal(binding.emotions_row().of("emotions_sealed"), &names)),
            user: new.user_id.as_ref().map(|user| self.users.seal(user, &new.conversation_id)),
            sent_at: new.sent_at.map_or(stored_at, SentAt::time),
            stored_at,
            traceparent: telemetry::current_traceparent(),
        }
    }

    /// The call without its message id, as a keyed hash: the same whether it stores one message or many.
    fn fingerprints_of(&self, new: &NewMessage) -> Hashes {
        let emotion = new.emotion.as_ref();
        let mut fields = vec![
            b"StoreMessage".to_vec(),
            new.conversation_id.as_str().into(),
            new.role.as_ref().into(),
            new.text().into(),
            new.channel.as_ref().into(),
            optional(new.user_id.as_ref().map(UserId::as_str)),
            optional(new.metadata.as_ref().map(Metadata::as_bytes)),
            optional(new.sent_at.map(|at| at.time().timestamp_micros().to_be_bytes())),
            optional(new.input_tokens.map(|count| count.get().to_be_bytes())),
            optional(new.output_tokens.map(|count| count.get().to_be_bytes())),
            optional(emotion.and_then(Emotion::score).map(|score| score.get().to_be_bytes())),
            optional(emotion.and_then(Emotion::label).map(EmotionLabel::as_str)),
            optional(new.parts.as_ref().map(Parts::as_bytes)),
        ];
        // Last, because their number varies.
        fields.extend(detected(emotion).map(Vec::from));
        self.fingerprint.hash(fields.iter().map(Vec::as_slice))
    }
}

/// The names of the emotions that were found.
pub fn detected(emotion: Option<&Emotion>) -> impl Iterator<Item = &str> {
    emotion.map_or(&[][..], Emotion::detected).iter().map(EmotionLabel::as_str)
}

/// The score of an emotion.
pub fn score(emotion: Option<&Emotion>) -> Option<f64> {
    emotion.and_then(Emotion::score).map(EmotionScore::get)
}

impl NewMessage {
    /// The message as stored.
    pub(super) fn stored(self, receipt: &Receipt) -> Message {
        Message {
            message_id: self.message_id,
            conversation_id: self.conversation_id,
            sequence: receipt.sequence,
            role: self.role,
            content: self.content,
            parts: self.parts,
            channel: self.channel,
            emotion: self.emotion,
            metadata: self.metadata,
            sent_at: receipt.sent_at,
            stored_at: receipt.stored_at,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            redaction: None,
        }
    }
}
