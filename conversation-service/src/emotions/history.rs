use chrono::{DateTime, Utc};
use teppan_shared::read_error::ReadError;

use super::{DetectedEmotions, EmotionLabel, EmotionScore, EmotionStatistics, Emotions};
use crate::domain::{ConversationId, MessageId, Role, SequenceOrder, SequenceRange};

/// The emotion of one message.
pub struct EmotionEntry {
    pub message_id: MessageId,
    pub sequence: i64,
    pub role: Role,
    pub score: Option<EmotionScore>,
    pub label: Option<EmotionLabel>,
    pub detected: DetectedEmotions,
    pub sent_at: DateTime<Utc>,
}

/// Emotions, the last sequence of the page if there is another page, and the statistics.
pub struct EmotionPage {
    pub entries: Vec<EmotionEntry>,
    pub next: Option<i64>,
    /// `None` while no message has an emotion.
    pub statistics: Option<EmotionStatistics>,
}

impl Emotions {
    /// Lists the emotions of a conversation by sequence, with its current statistics.
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
        let found = self.conversations.get(conversation_id).await?;
        macro_rules! page {
            ($file:literal) => {
                self.database
                    .fetch_all(|| {
                        sqlx::query_file_as!(
                            EmotionEntry,
                            $file,
                            conversation_id.as_str(),
                            range.after,
                            range.before,
                            role.as_ref().map(AsRef::as_ref),
                            i64::from(page_size) + 1,
                        )
                    })
                    .await?
            };
        }
        let mut entries = match order {
            SequenceOrder::OldestFirst => page!("src/emotions/history_oldest_first.sql"),
            SequenceOrder::NewestFirst => page!("src/emotions/history_newest_first.sql"),
        };
        let more = entries.len() > page_size.into();
        entries.truncate(page_size.into());
        let next = entries.last().filter(|_| more).map(|last| last.sequence);
        let newest_scored_sequence = found.held.conversation.newest_scored_sequence;
        let some_emotion = newest_scored_sequence > 0 || !entries.is_empty();
        // Even before the first run of the aggregation, a client gets the sequence that the watermark must reach.
        let uncounted = || EmotionStatistics { newest_scored_sequence, ..EmotionStatistics::default() };
        let statistics = found.emotions.or_else(|| some_emotion.then(uncounted));
        Ok(EmotionPage { entries, next, statistics })
    }
}
