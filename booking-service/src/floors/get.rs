use chrono::{DateTime, Utc};
use serde::Deserialize;
use teppan_shared::read_error::{Corrupted, ReadError};

use crate::{
    domain::{Floor, TimeZone, VenueId},
    venues::Venues,
};

/// A venue's floor as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct StoredFloor {
    #[serde(flatten)]
    pub floor: Floor,
    pub version: i64,
    pub updated_at: DateTime<Utc>,
}

impl Venues {
    /// Reads the floor of a venue; `None` if it has none.
    ///
    /// # Errors
    /// [`ReadError`]; `NotFound` if there is no such venue.
    pub async fn get_floor(&self, venue_id: VenueId) -> Result<Option<StoredFloor>, ReadError> {
        Ok(self.read_floor(venue_id).await?.1)
    }

    pub(super) async fn read_floor(&self, venue_id: VenueId) -> Result<(TimeZone, Option<StoredFloor>), ReadError> {
        let read = || sqlx::query_file!("src/floors/get.sql", venue_id.0);
        let row = self.database.fetch_optional(read).await?.ok_or(ReadError::NotFound)?;
        let zone = TimeZone::parse(&row.time_zone).map_err(|_| Corrupted::Column("venues.time_zone"))?;
        let floor = row.floor.map(serde_json::from_value).transpose().map_err(|_| Corrupted::Column("floors"))?;
        Ok((zone, floor))
    }
}
