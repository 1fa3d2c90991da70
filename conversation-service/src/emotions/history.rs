use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::{Corrupted, ReadError},
    sealing::KeyRing,
};

use super::{Emotion, EmotionScore, EmotionStatistics, Emotions};
use crate::{
    domain::{ConversationId, MessageId, Role, SequenceOrder, SequenceRange},
    messages::{MessageBinding, open_emotion},
};

/// The emotion of one message.
pub struct EmotionEntry {
    pub message_id: MessageId,
    pub sequence: i64,
    pub role: Role,
    pub emotion: Option<Emotion>,
    pub sent_at: DateTime<Utc>,
}

/// Emotions, the last sequence of the page if there is another page, and the statistics.
pub struct EmotionPage {
    pub entries: Vec<EmotionEntry>,
    pub next: Option<i64>,
    /// `None` while no message has an emotion.
    pub statistics: Option<EmotionStatistics>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum EmotionHistoryError {
    /// The list continues after this sequence.
    #[error("the emotion of the message at sequence {sequence} is corrupted")]
    Unreadable { sequence: i64, source: Corrupted },
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Emotions {
    /// Lists the emotions of a conversation by sequence, with its current statistics. A page ends before an emotion that cannot
    /// be opened.
    ///
    /// # Errors
    /// [`EmotionHistoryError`].
    pub async fn history(
        &self,
        conversation_id: &ConversationId,
        range: SequenceRange,
        order: SequenceOrder,
        role: Option<Role>,
        page_size: u16,
    ) -> Result<EmotionPage, EmotionHistoryError> {
        let found = self.conversations.get(conversation_id).await?;
        macro_rules! page {
            ($file:literal) => {
                self.database
                    .fetch_all(|| {
                        sqlx::query_file_as!(
                            Row,
                            $file,
                            conversation_id.as_str(),
                            range.after,
                            range.before,
                            role.as_ref().map(AsRef::as_ref),
                            i64::from(page_size) + 1,
                        )
                    })
                    .await
                    .map_err(ReadError::from)?
            };
        }
        let mut rows = match order {
            SequenceOrder::OldestFirst => page!("src/emotions/history_oldest_first.sql"),
            SequenceOrder::NewestFirst => page!("src/emotions/history_newest_first.sql"),
        };
        let mut more = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let mut entries: Vec<EmotionEntry> = Vec::with_capacity(rows.len());
        for row in rows {
            let sequence = row.sequence;
            match row.open(conversation_id, &self.ring) {
                Ok(entry) => entries.push(entry),
                Err(source) if entries.is_empty() => return Err(EmotionHistoryError::Unreadable { sequence, source }),
                Err(_) => {
                    more = true;
                    break;
                }
            }
        }
        let next = entries.last().filter(|_| more).map(|last| last.sequence);
        let newest_scored_sequence = found.held.conversation.newest_scored_sequence;
        let some_emotion = newest_scored_sequence > 0 || !entries.is_empty();
        // Even before the first run of the aggregation, a client gets the sequence that the watermark must reach.
        let uncounted = || EmotionStatistics { newest_scored_sequence, ..EmotionStatistics::default() };
        let statistics = found.emotions.or_else(|| some_emotion.then(uncounted));
        Ok(EmotionPage { entries, next, statistics })
    }
}

/// A row of the statements.
struct Row {
    message_id: MessageId,
    sequence: i64,
    role: Role,
    score: Option<EmotionScore>,
    emotions_sealed: Option<Vec<u8>>,
    sent_at: DateTime<Utc>,
}

impl Row {
    fn open(self, conversation_id: &ConversationId, ring: &KeyRing) -> Result<EmotionEntry, Corrupted> {
        let Self { message_id, sequence, role, score, emotions_sealed, sent_at } = self;
        let binding = MessageBinding { message_id, conversation_id, role };
        let emotion = open_emotion(ring, binding, score, emotions_sealed.as_deref())?;
        Ok(EmotionEntry { message_id, sequence, role, emotion, sent_at })
    }
}
