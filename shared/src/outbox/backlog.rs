//! The backlog of each destination, for the metrics.

use opentelemetry::{KeyValue, metrics::Gauge};

use super::Outbox;
use crate::{
    backlog::{age, count, show_age, show_count},
    postgres::DatabaseError,
};

/// The gauges. They keep the values of the last read.
pub struct OutboxBacklog {
    pending: Gauge<u64>,
    oldest_age_seconds: Gauge<f64>,
    dead_letters: Gauge<u64>,
}

impl Default for OutboxBacklog {
    fn default() -> Self {
        Self {
            pending: count("teppan.outbox.pending", "Messages that wait to be delivered, counted up to 10,000."),
            oldest_age_seconds: age(
                "teppan.outbox.oldest.age",
                "Age of the oldest message that waits to be delivered, 0 when none does.",
            ),
            dead_letters: count(
                "teppan.outbox.dead_letters",
                "Dead letters that were neither retried nor discarded, counted up to 10,000.",
            ),
        }
    }
}

impl Outbox {
    /// Reads the backlog, by indexes and up to a bound, and exports it as metrics.
    ///
    /// # Errors
    /// When the database does not answer; then the metrics keep their values.
    pub async fn read_backlog(&self, backlog: &OutboxBacklog) -> Result<(), DatabaseError> {
        let now = self.clock.now();
        for row in self.database.fetch_all(|| sqlx::query_file!("src/outbox/read_backlog.sql")).await? {
            let destination = [KeyValue::new("destination", row.destination)];
            show_count(&backlog.pending, row.pending, &destination);
            show_age(&backlog.oldest_age_seconds, now, row.oldest_at, &destination);
            show_count(&backlog.dead_letters, row.dead, &destination);
        }
        Ok(())
    }
}
