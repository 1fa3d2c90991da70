//! Reads the backlog in the database for the metrics.

use opentelemetry::{KeyValue, metrics::Gauge};
use teppan_shared::{
    backlog::{age, count, show_age, show_count},
    clock::Clock,
    outbox::{Outbox, OutboxBacklog},
    postgres::{Database, DatabaseError},
    worker::{Batch, Job},
};

use crate::domain::Channel;

/// The job that exports the backlog as metrics. The gauges keep the values of the last read.
pub struct Backlog {
    database: Database,
    clock: Clock,
    outbox: Outbox,
    messages: OutboxBacklog,
    emotions_pending: Gauge<u64>,
    emotions_age_seconds: Gauge<f64>,
    follow_ups: Gauge<u64>,
    claimable_age_seconds: Gauge<f64>,
    overdue_age_seconds: Gauge<f64>,
}

impl Backlog {
    pub fn new(database: Database, outbox: Outbox, clock: Clock) -> Self {
        Self {
            database,
            clock,
            outbox,
            messages: OutboxBacklog::default(),
            emotions_pending: count(
                "teppan.emotion_aggregation.pending",
                "Messages whose score or label is not in the statistics yet, counted up to 10,000.",
            ),
            emotions_age_seconds: age(
                "teppan.emotion_aggregation.pending.age",
                "Age of the oldest message that is not in the statistics yet, 0 when there is none.",
            ),
            follow_ups: count(
                "teppan.follow_ups",
                "Follow-ups that are due, claimable or claimed, counted up to a bound.",
            ),
            claimable_age_seconds: age(
                "teppan.follow_ups.claimable.age",
                "How long the oldest claimable follow-up has waited for a sender, 0 when there is none.",
            ),
            overdue_age_seconds: age(
                "teppan.follow_ups.overdue.age",
                "How long ago the oldest unclaimed follow-up was due, 0 when none is.",
            ),
        }
    }
}

impl Job for Backlog {
    type Error = DatabaseError;
    const NAME: &'static str = "backlog";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let channels = Channel::columns();
        let read = || sqlx::query_file!("src/read_backlog.sql", now, &channels as &[&str]);
        let row = self.database.fetch_one(read).await?;
        self.outbox.read_backlog(&self.messages).await?;
        show_count(&self.emotions_pending, row.emotions_pending, &[]);
        for (state, waiting) in [("due", row.due), ("claimable", row.claimable), ("claimed", row.claimed)] {
            show_count(&self.follow_ups, waiting, &[KeyValue::new("state", state)]);
        }
        for (gauge, since) in [
            (&self.emotions_age_seconds, row.oldest_emotion_at),
            (&self.claimable_age_seconds, row.claimable_since),
            (&self.overdue_age_seconds, row.overdue_since),
        ] {
            show_age(gauge, now, since, &[]);
        }
        Ok(Batch::default())
    }
}
