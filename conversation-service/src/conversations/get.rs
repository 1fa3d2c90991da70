use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use teppan_shared::read_error::ReadError;

use super::{Conversation, Conversations};
use crate::{
    domain::ConversationId,
    emotions::{EmotionStatistics, OTHER_LABELS},
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
        Ok(self.database.fetch_optional(get).await?.ok_or(ReadError::NotFound)?.into())
    }
}

struct Row {
    conversation: Conversation,
    aggregated_through: Option<i64>,
    score_count: Option<i64>,
    mean_score: Option<f64>,
    score_min: Option<f64>,
    score_max: Option<f64>,
    recent_mean: Option<f64>,
    recent_count: Option<i32>,
    trend_delta: Option<f64>,
    label_counts: Option<Json<BTreeMap<String, i64>>>,
    aggregated_at: Option<DateTime<Utc>>,
    summary: Option<SummaryRow>,
    handoff: Option<HandoffRow>,
}

impl From<Row> for Found {
    fn from(row: Row) -> Self {
        let mut label_counts = row.label_counts.unwrap_or_default().0;
        let other_label_count = label_counts.remove(OTHER_LABELS).unwrap_or(0);
        let emotions = row.aggregated_through.map(|aggregated_through| EmotionStatistics {
            score_count: row.score_count.unwrap_or(0),
            mean_score: row.mean_score,
            minimum_score: row.score_min,
            maximum_score: row.score_max,
            recent_mean: row.recent_mean,
            recent_count: row.recent_count.unwrap_or(0),
            trend_delta: row.trend_delta,
            label_counts: most_frequent_first(label_counts),
            other_label_count,
            aggregated_through,
            newest_scored_sequence: row.conversation.newest_scored_sequence,
            updated_at: row.aggregated_at,
        });
        Self { held: HeldConversation::new(row.conversation, row.handoff), emotions, summary: row.summary }
    }
}

/// Labels with the same count stay in the map's order.
fn most_frequent_first(counts: BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}
