use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use super::{Emotion, EmotionStatistics, Emotions, read_emotion};
use crate::domain::{ConversationId, MessageId, Role, SequenceOrder, SequenceRange};

/// The emotion of one message.
pub struct EmotionEntry {
    pub message_id: MessageId,
    pub sequence: i64,
    pub role: Role,
    pub emotion: Option<Emotion>,
    pub sent_at: DateTime<Utc>,
}

/// Emotions, the sequence the page ended with if there is another, and the statistics.
pub struct EmotionPage {
    pub entries: Vec<EmotionEntry>,
    pub next: Option<i64>,
    /// `None` while no message has an emotion.
    pub statistics: Option<EmotionStatistics>,
}

impl Emotions {
    /// Lists the emotions of a conversation by sequence, with the statistics of the moment.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history(
        &self,
        conversation_id: &ConversationId,
        range: SequenceRange,
        order: SequenceOrder,
        role: Option<Role>,
        page_size: u16,
    ) -> Result<EmotionPage, ReadError> {
        let read = self.conversations.get(conversation_id).await?;
        let mut rows = self.emotion_rows(conversation_id, range, order, role, page_size).await?;
        let more = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let next = rows.last().filter(|_| more).map(|last| last.sequence);
        let entries = rows.into_iter().map(EmotionRow::read).collect::<Result<Vec<_>, _>>()?;
        // Until the first run there is still to say what it will have to reach.
        let uncounted = || EmotionStatistics {
            newest_scored_sequence: read.newest_scored_sequence,
            ..EmotionStatistics::default()
        };
        let some_emotion = read.newest_scored_sequence > 0 || !entries.is_empty();
        let statistics = read.emotions.or_else(|| some_emotion.then(uncounted));
        Ok(EmotionPage { entries, next, statistics })
    }

    /// The page, and the row after it if there is one.
    async fn emotion_rows(
        &self,
        conversation_id: &ConversationId,
        range: SequenceRange,
        order: SequenceOrder,
        role: Option<Role>,
        page_size: u16,
    ) -> Result<Vec<EmotionRow>, DatabaseError> {
        let (id, limit) = (conversation_id.as_str(), i64::from(page_size) + 1);
        let (SequenceRange { after, before }, role) = (range, role.map(Role::as_column));
        match order {
            SequenceOrder::OldestFirst => {
                let oldest_first = || {
                    sqlx::query_file_as!(
                        EmotionRow,
                        "src/emotions/history_oldest_first.sql",
                        id,
                        after,
                        before,
                        role,
                        limit,
                    )
                };
                self.database.fetch_all(oldest_first).await
            }
            SequenceOrder::NewestFirst => {
                let newest_first = || {
                    sqlx::query_file_as!(
                        EmotionRow,
                        "src/emotions/history_newest_first.sql",
                        id,
                        after,
                        before,
                        role,
                        limit,
                    )
                };
                self.database.fetch_all(newest_first).await
            }
        }
    }
}

/// A row of the statements.
struct EmotionRow {
    message_id: Uuid,
    sequence: i64,
    role: String,
    emotion_score: Option<f64>,
    emotion_label: Option<String>,
    emotion_detected: Vec<String>,
    sent_at: DateTime<Utc>,
}

impl EmotionRow {
    fn read(self) -> Result<EmotionEntry, Corrupted> {
        let emotion = read_emotion(self.emotion_score, self.emotion_label, self.emotion_detected);
        Ok(EmotionEntry {
            message_id: MessageId(self.message_id),
            sequence: self.sequence,
            role: Role::from_column(&self.role).ok_or(Corrupted::Column("messages.role"))?,
            emotion: emotion.map_err(|_| Corrupted::Column("messages.emotion"))?,
            sent_at: self.sent_at,
        })
    }
}
