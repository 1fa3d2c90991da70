//! What waits in the database, read for the metrics.

use opentelemetry::{KeyValue, metrics::Gauge};
use teppan_shared::{
    backlog::{age, count, show_age, show_count},
    outbox::OutboxBacklog,
    postgres::DatabaseError,
};

use crate::{core::Core, domain::Channel};

/// The gauges of what waits. They stay as they were last read.
pub struct Backlog {
    outbox: OutboxBacklog,
    emotions_pending: Gauge<u64>,
    emotions_age_seconds: Gauge<f64>,
    follow_ups: Gauge<u64>,
    claimable_age_seconds: Gauge<f64>,
    overdue_age_seconds: Gauge<f64>,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            outbox: OutboxBacklog::default(),
            emotions_pending: count(
                "teppan.emotion_aggregation.pending",
                "Messages whose score or labels are not in the statistics yet, of at most 10,000.",
            ),
            emotions_age_seconds: age(
                "teppan.emotion_aggregation.pending.age",
                "Age of the oldest message that is not in the statistics yet, 0 when there is none.",
            ),
            follow_ups: count("teppan.follow_ups", "Follow-ups that are due, claimable or claimed, up to a bound."),
            claimable_age_seconds: age(
                "teppan.follow_ups.claimable.age",
                "For how long the oldest claimable follow-up has waited for a sender, 0 when there is none.",
            ),
            overdue_age_seconds: age(
                "teppan.follow_ups.overdue.age",
                "How long ago the oldest unclaimed follow-up was due, 0 when none is.",
            ),
        }
    }
}

impl Core {
    /// Reads what waits, by indexes and up to a bound, and shows it in the metrics.
    ///
    /// # Errors
    /// When the database gives no answer; then the metrics stay as they are.
    pub async fn read_backlog(&self, backlog: &Backlog) -> Result<(), DatabaseError> {
        let now = self.clock.now();
        let channels: Vec<&str> = Channel::ALL.into_iter().map(Channel::as_column).chain([""]).collect();
        let read = || sqlx::query_file!("queries/read_backlog.sql", now, &channels as &[&str]);
        let row = self.database.fetch_one(read).await?;
        self.outbox.read_backlog(&backlog.outbox).await?;
        show_count(&backlog.emotions_pending, row.emotions_pending, &[]);
        for (state, waiting) in [("due", row.due), ("claimable", row.claimable), ("claimed", row.claimed)] {
            show_count(&backlog.follow_ups, waiting, &[KeyValue::new("state", state)]);
        }
        for (gauge, since) in [
            (&backlog.emotions_age_seconds, row.oldest_emotion_at),
            (&backlog.claimable_age_seconds, row.claimable_since),
            (&backlog.overdue_age_seconds, row.overdue_since),
        ] {
            show_age(gauge, now, since, &[]);
        }
        Ok(())
    }
}
