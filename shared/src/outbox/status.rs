use chrono::{DateTime, Utc};

use super::Outbox;
use crate::postgres::DatabaseError;

/// The backlog of one destination.
#[derive(Debug, Clone)]
pub struct DestinationStatus {
    pub destination: String,
    /// Undelivered messages, including those under a lease, without dead letters.
    pub pending: i64,
    pub leased: i64,
    pub dead: i64,
    pub oldest_at: Option<DateTime<Utc>>,
    /// Age of the oldest message, 0 when there is none.
    pub lag_seconds: i64,
    pub last_delivered_at: Option<DateTime<Utc>>,
}

impl DestinationStatus {
    /// Whether there is or was a message for this destination.
    pub fn was_used(&self) -> bool {
        self.pending + self.dead > 0 || self.last_delivered_at.is_some()
    }
}

impl Outbox {
    /// Reads the status of each destination that is or was in use.
    pub(super) async fn statuses(&self) -> Result<Vec<DestinationStatus>, DatabaseError> {
        let now = self.clock.now();
        let read = || sqlx::query_file_as!(DestinationStatus, "src/outbox/read_status.sql", now);
        let mut statuses = self.database.fetch_all(read).await?;
        statuses.retain(|status| status.was_used() || self.nudges.iter().any(|(name, _)| *name == status.destination));
        Ok(statuses)
    }
}
