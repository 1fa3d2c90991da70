//! The emotions of messages, and their statistics for each conversation.

mod aggregate;
mod count;
mod emotion;
mod history;
mod label_counts;
mod pending_cursor;
mod statistics;

use std::sync::Arc;

use teppan_shared::{clock::Clock, keys::Keys, postgres::Database, sealing::KeyRing, worker::Nudge};

pub use self::{
    aggregate::EmotionAggregationJob,
    emotion::{DetectedEmotions, Emotion, EmotionLabel, EmotionScore},
    history::{EmotionEntry, EmotionHistoryError, EmotionPage},
    label_counts::LabelCounts,
    pending_cursor::INTERVAL_MAX_MS,
    statistics::{EmotionLevel, EmotionStatistics, EmotionTrend},
};
use crate::{conversations::Conversations, events::Events, settings::EmotionAggregation};

/// Aggregates and lists emotions.
pub struct Emotions {
    database: Database,
    clock: Clock,
    ring: KeyRing,
    aggregation: EmotionAggregation,
    /// Wakes the aggregation worker.
    pending: Nudge,
    events: Events,
    conversations: Arc<Conversations>,
}

impl Emotions {
    pub fn new(
        database: Database,
        clock: Clock,
        keys: &Keys,
        aggregation: EmotionAggregation,
        events: Events,
        conversations: Arc<Conversations>,
    ) -> Self {
        Self { database, clock, ring: keys.ring(), aggregation, pending: Nudge::default(), events, conversations }
    }

    /// Wakes the aggregation worker.
    pub fn pending(&self) -> Nudge {
        self.pending.clone()
    }
}
