use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    telemetry::{self, TRACE_TARGET},
    worker::{Batch, Job},
};

use super::Emotions;
use crate::{domain::ConversationId, settings::EmotionAggregation};

/// How often the statement is run for one conversation. Each run counts at least as many messages as
/// a run can take, unless another replica's run has just counted some of them.
const RUNS_MAX: usize = 8;

impl Emotions {
    /// Aggregates a conversation's emotions soon, or now when they are aggregated inline. The statement
    /// that stored the message recorded the work, so only the time depends on this.
    pub async fn count(&self, conversation_id: &ConversationId) {
        if self.aggregation == EmotionAggregation::Inline {
            match self.aggregate_of(conversation_id).await {
                Ok(true) => return,
                Ok(false) => {}
                // The message is stored: the call has done what it is for.
                Err(error) => tracing::warn!(error = error_chain(&error), "inline emotion aggregation failed"),
            }
        }
        self.pending.nudge();
    }

    /// Counts the messages that have waited longest, of any conversations, in one bounded run. Any
    /// number of replicas may do so at once.
    ///
    /// # Errors
    /// When the database gave no answer. Uncounted messages are still recorded as pending.
    async fn aggregate(&self) -> Result<Batch, DatabaseError> {
        let run = self.run_aggregation(None).await?;
        let waited = run.oldest.map(|oldest| self.clock.now() - oldest);
        run.trace();
        Ok(Batch {
            done: u64::try_from(run.done).unwrap_or(0),
            failed: 0,
            more: run.more,
            lag: waited.and_then(|waited| waited.to_std().ok()).unwrap_or(Duration::ZERO),
        })
    }

    /// Counts everything that is pending of one conversation. `false` when there was too much, the
    /// rest of which is left to the worker.
    ///
    /// # Errors
    /// When the database gave no answer. Uncounted messages are still recorded as pending.
    async fn aggregate_of(&self, conversation_id: &ConversationId) -> Result<bool, DatabaseError> {
        for _ in 0..RUNS_MAX {
            if !self.run_aggregation(Some(conversation_id)).await?.more {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn run_aggregation(&self, only: Option<&ConversationId>) -> Result<Run, DatabaseError> {
        let (only, now) = (only.map(ConversationId::as_str), self.clock.now());
        let aggregate = || sqlx::query_file_as!(Run, "src/emotions/aggregate.sql", only, now, self.events.published);
        let run = self.database.fetch_one(aggregate).await?;
        if run.suggestions > 0 {
            self.events.pending.nudge();
        }
        Ok(run)
    }
}

/// The one row the statement answers.
struct Run {
    done: i64,
    more: bool,
    suggestions: i64,
    oldest: Option<DateTime<Utc>>,
    traceparents: Vec<String>,
}

impl Run {
    /// A span that leads from the calls that stored the messages to the run that counted them.
    /// Without a recorded trace there is nothing to lead from, and no span.
    fn trace(&self) {
        if self.traceparents.is_empty() {
            return;
        }
        let span = tracing::info_span!(
            target: TRACE_TARGET,
            parent: None,
            "aggregate emotions",
            messages = self.done,
            suggestions = self.suggestions,
        );
        for traceparent in &self.traceparents {
            telemetry::link(&span, traceparent);
        }
    }
}

/// Keeps the statistics of every conversation up with its messages.
pub struct EmotionAggregationJob(pub Arc<Emotions>);

impl Job for EmotionAggregationJob {
    type Error = DatabaseError;
    const NAME: &'static str = "emotion-aggregation";
    // Under load some runs a second instead of one for each message, which would slow storing down.
    const GATHER: Duration = Duration::from_millis(25);

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.aggregate().await
    }
}
