use std::time::Duration;

use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    telemetry::{self, TRACE_TARGET},
    worker::Batch,
};

use crate::{core::Core, domain::ConversationId};

/// How often the statement is run for one conversation. Each run counts at least as many messages as
/// a run can take, unless another replica's run has just counted some of them.
const RUNS_MAX: usize = 8;

impl Core {
    /// Counts the messages that have waited longest, of any conversations, in one bounded run. Any
    /// number of replicas may do so at once.
    ///
    /// # Errors
    /// When the database gave no answer. Whatever was not counted is still recorded as pending.
    pub async fn aggregate_emotions(&self) -> Result<Batch, DatabaseError> {
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
    /// When the database gave no answer. Whatever was not counted is still recorded as pending.
    pub async fn aggregate_emotions_of(&self, conversation_id: &ConversationId) -> Result<bool, DatabaseError> {
        for _ in 0..RUNS_MAX {
            if !self.run_aggregation(Some(conversation_id)).await?.more {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn run_aggregation(&self, only: Option<&ConversationId>) -> Result<Run, DatabaseError> {
        let (only, now) = (only.map(ConversationId::as_str), self.clock.now());
        let aggregate = || sqlx::query_file_as!(Run, "queries/aggregate_emotions.sql", only, now, self.publishes);
        let run = self.database.fetch_one(aggregate).await?;
        if run.suggestions > 0 {
            self.events_pending.nudge();
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
