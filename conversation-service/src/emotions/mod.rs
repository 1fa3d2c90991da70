//! The emotions of messages, and their statistics for each conversation.

mod aggregate;
mod count;
mod emotion;
mod history;
mod statistics;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database, worker::Nudge};

pub use self::{
    aggregate::EmotionAggregationJob,
    emotion::{DetectedEmotions, Emotion, EmotionLabel, EmotionScore},
    history::{EmotionEntry, EmotionPage},
    statistics::{EmotionLevel, EmotionStatistics, EmotionTrend},
};
use crate::{conversations::Conversations, events::Events, settings::EmotionAggregation};

/// The key of the common count of all labels that are not counted by name. It is not a label itself.
pub const OTHER_LABELS: &str = "";

/// Aggregates and lists emotions.
pub struct Emotions {
    database: Database,
    clock: Clock,
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
        aggregation: EmotionAggregation,
        events: Events,
        conversations: Arc<Conversations>,
    ) -> Self {
        Self { database, clock, aggregation, pending: Nudge::default(), events, conversations }
    }

    /// Wakes the aggregation worker.
    pub fn pending(&self) -> Nudge {
        self.pending.clone()
    }
}
