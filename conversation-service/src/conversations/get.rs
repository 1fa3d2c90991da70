use chrono::{DateTime, Utc};
use teppan_shared::read_error::{Corrupted, ReadError};

use super::{ConversationRow, Conversations};
use crate::{
    domain::ConversationId,
    emotions::{EmotionStatistics, LabelCounts},
    handoffs::{HandoffRow, HeldConversation},
    summaries::SummaryRow,
};

/// A conversation, who holds it, the statistics of its emotions, and its summary.
pub struct Found {
    pub held: HeldConversation,
    /// `None` before the first run of the aggregation.
    pub emotions: Option<EmotionStatistics>,
    /// Sealed: not everybody who reads a conversation needs it.
    pub summary: Option<SummaryRow>,
}

impl Conversations {
    /// Reads one conversation.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, conversation_id: &ConversationId) -> Result<Found, ReadError> {
        let get = || sqlx::query_file_as!(Row, "src/conversations/get.sql", conversation_id.as_str());
        let row = self.database.fetch_optional(get).await?.ok_or(ReadError::NotFound)?;
        Ok(self.found(row)?)
    }

    fn found(&self, row: Row) -> Result<Found, Corrupted> {
        let conversation = row.conversation.open(&self.users)?;
        let emotions = match (row.aggregated_through, row.label_counts_sealed) {
            (Some(aggregated_through), Some(sealed)) => {
                let name = conversation.conversation_id.as_str();
                let (label_counts, other_label_count) =
                    LabelCounts::open(&self.ring, name, aggregated_through, &sealed)?.into_parts();
                Some(EmotionStatistics {
                    score_count: row.score_count.unwrap_or(0),
                    mean_score: row.mean_score,
                    minimum_score: row.score_min,
                    maximum_score: row.score_max,
                    recent_mean: row.recent_mean,
                    recent_count: row.recent_count.unwrap_or(0),
                    trend_delta: row.trend_delta,
                    label_counts,
                    other_label_count,
                    aggregated_through,
                    newest_scored_sequence: conversation.newest_scored_sequence,
                    updated_at: row.aggregated_at,
                })
            }
            _ => None,
        };
        Ok(Found { held: HeldConversation::new(conversation, row.handoff), emotions, summary: row.summary })
    }
}

struct Row {
    conversation: ConversationRow,
    aggregated_through: Option<i64>,
    score_count: Option<i64>,
    mean_score: Option<f64>,
    score_min: Option<f64>,
    score_max: Option<f64>,
    recent_mean: Option<f64>,
    recent_count: Option<i32>,
    trend_delta: Option<f64>,
    label_counts_sealed: Option<Vec<u8>>,
    aggregated_at: Option<DateTime<Utc>>,
    summary: Option<SummaryRow>,
    handoff: Option<HandoffRow>,
}
