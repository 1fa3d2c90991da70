use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::postgres::DatabaseError;

use crate::events::Outbox;

/// What waits to be published.
pub struct OutboxStatus {
    /// Not yet published, those under a lease included, dead letters not.
    pub pending: i64,
    pub leased: i64,
    pub dead: i64,
    pub oldest_at: Option<DateTime<Utc>>,
    /// Age of the oldest.
    pub lag: TimeDelta,
    pub last_delivered_at: Option<DateTime<Utc>>,
}

impl Outbox {
    /// Reads what waits to be published. `None` where nothing is published, nor was.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn get_outbox_status(&self) -> Result<Option<OutboxStatus>, DatabaseError> {
        let now = self.clock.now();
        let row = self.database.fetch_one(|| sqlx::query_file!("queries/get_outbox_status.sql", now)).await?;
        let was_in_use = row.pending + row.dead > 0 || row.last_delivered_at.is_some();
        Ok((self.events.published || was_in_use).then(|| OutboxStatus {
            pending: row.pending,
            leased: row.leased,
            dead: row.dead,
            oldest_at: row.oldest_at,
            lag: row.oldest_at.map_or(TimeDelta::zero(), |oldest| (now - oldest).max(TimeDelta::zero())),
            last_delivered_at: row.last_delivered_at,
        }))
    }
}
