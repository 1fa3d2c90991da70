use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::read_error::ReadError;

use crate::{core::Core, domain::OutboxDestination};

/// What waits for one destination.
pub struct DestinationStatus {
    pub destination: OutboxDestination,
    /// Not yet delivered, those under a lease included, dead letters not.
    pub pending: i64,
    pub leased: i64,
    pub dead: i64,
    pub oldest_at: Option<DateTime<Utc>>,
    /// Age of the oldest.
    pub lag: TimeDelta,
    pub last_delivered_at: Option<DateTime<Utc>>,
}

impl Core {
    /// Reads what waits for each destination that is in use, or was.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_outbox_status(&self) -> Result<Vec<DestinationStatus>, ReadError> {
        let now = self.clock.now();
        let rows = self.database.fetch_all(|| sqlx::query_file!("src/outbox/get_status.sql", now)).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            // A newer version may have destinations that this one does not know.
            let Some(destination) = OutboxDestination::from_column(&row.destination) else { continue };
            let was_in_use = row.pending + row.dead > 0 || row.last_delivered_at.is_some();
            if self.outbox.is_in_use(destination) || was_in_use {
                found.push(DestinationStatus {
                    destination,
                    pending: row.pending,
                    leased: row.leased,
                    dead: row.dead,
                    oldest_at: row.oldest_at,
                    lag: row.oldest_at.map_or(TimeDelta::zero(), |oldest| (now - oldest).max(TimeDelta::zero())),
                    last_delivered_at: row.last_delivered_at,
                });
            }
        }
        Ok(found)
    }
}
