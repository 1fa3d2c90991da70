use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use teppan_shared::read_error::ReadError;

use super::{Conversation, Conversations, row::ConversationRow};
use crate::{domain::ConversationId, emotions::EmotionStatistics};

/// A conversation, and what its emotions say.
pub struct Read {
    pub conversation: Conversation,
    /// `None` before the first run of the aggregation.
    pub emotions: Option<EmotionStatistics>,
    /// The newest message that has a score, 0 when none has.
    pub newest_scored_sequence: i64,
}

impl Conversations {
    /// Reads one conversation.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, conversation_id: &ConversationId) -> Result<Read, ReadError> {
        let id = conversation_id.as_str();
        let row = self.database.fetch_optional(|| sqlx::query_file_as!(Row, "src/conversations/get.sql", id)).await?;
        row.ok_or(ReadError::NotFound)?.read()
    }
}

/// Where the labels are counted that are not counted by name. It is no label.
const OTHER_LABELS: &str = "";

/// The row of the statement.
struct Row {
    conversation_id: String,
    user_id: Option<String>,
    channel: String,
    status: String,
    message_count: i64,
    last_message_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    newest_scored_sequence: i64,
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
}

impl Row {
    fn read(self) -> Result<Read, ReadError> {
        let mut label_counts = self.label_counts.unwrap_or_default().0;
        let other_label_count = label_counts.remove(OTHER_LABELS).unwrap_or(0);
        let emotions = self.aggregated_through.map(|aggregated_through| EmotionStatistics {
            score_count: self.score_count.unwrap_or(0),
            mean_score: self.mean_score,
            minimum_score: self.score_min,
            maximum_score: self.score_max,
            recent_mean: self.recent_mean,
            recent_count: self.recent_count.unwrap_or(0),
            trend_delta: self.trend_delta,
            label_counts: most_frequent_first(label_counts),
            other_label_count,
            aggregated_through,
            newest_scored_sequence: self.newest_scored_sequence,
            updated_at: self.aggregated_at,
        });
        let conversation = ConversationRow {
            conversation_id: self.conversation_id,
            user_id: self.user_id,
            channel: self.channel,
            status: self.status,
            message_count: self.message_count,
            last_message_at: self.last_message_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            closed_at: self.closed_at,
        };
        let conversation = conversation.read()?;
        Ok(Read { conversation, emotions, newest_scored_sequence: self.newest_scored_sequence })
    }
}

/// Among equals by label, as the map has them.
fn most_frequent_first(counts: BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}
