use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use super::get::StoredFloor;
use crate::{
    domain::{Etag, Floor, TimeZone, VenueId, instant_or_next},
    venues::Venues,
};

/// Each attempt after the first follows a concurrent SetFloor for the same venue, of which one succeeds in each round.
const ATTEMPTS_MAX: usize = 20;
/// Days of ticks begin at this hour, when hardly any guest is seated.
const DAY_BEGINS_AT: u32 = 5;

/// The requested floor of a venue. Without areas: none.
pub struct NewFloor {
    pub venue_id: VenueId,
    pub floor: Floor,
    pub etag: Option<Etag>,
    pub validate_only: bool,
}

/// A floor after the call; `None` if the venue has none.
pub struct FloorSet {
    pub floor: Option<StoredFloor>,
    /// The upcoming bookings whose seats were counted.
    pub bookings_counted: i64,
    /// Those of them that sit in an area with tables and have none.
    pub bookings_without_table: i64,
}

/// Why a floor was not set. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum SetFloorError {
    #[error("the venue cannot be read")]
    Venue(#[from] ReadError),
    #[error("the floor has changed since the caller read it")]
    StaleEtag,
    #[error("upcoming bookings are in the area {area}, which the new floor does not have")]
    AreaHasBookings { area: String },
    #[error("upcoming bookings have the table {table} of the area {area}, which the new floor does not have")]
    TableHasBookings { area: String, table: String },
    #[error("the floor changed during every attempt")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Venues {
    /// Replaces the floor of a venue and counts the seats of its upcoming bookings again. No booking is changed.
    ///
    /// # Errors
    /// [`SetFloorError`].
    pub async fn set_floor(&self, new: &NewFloor) -> Result<FloorSet, SetFloorError> {
        for _ in 0..ATTEMPTS_MAX {
            let (zone, current) = self.read_floor(new.venue_id).await?;
            let is_unchanged = match &current {
                Some(current) => current.floor == new.floor,
                None => new.floor.areas.is_empty(),
            };
            if is_unchanged {
                return Ok(FloorSet { floor: current, bookings_counted: 0, bookings_without_table: 0 });
            }
            let version = current.as_ref().map_or(0, |current| current.version);
            if new.etag.is_some_and(|etag| etag.version() != version) {
                return Err(SetFloorError::StaleEtag);
            }
            let now = self.clock.now();
            if let Some(set) = self.write_floor(new, version, zone, now).await? {
                if !new.validate_only {
                    self.freed_seats.wake_if_entries_wait();
                }
                return Ok(set);
            }
        }
        Err(SetFloorError::Contended)
    }

    /// `None` if the floor has another version now.
    async fn write_floor(
        &self,
        new: &NewFloor,
        read_version: i64,
        zone: TimeZone,
        now: DateTime<Utc>,
    ) -> Result<Option<FloorSet>, SetFloorError> {
        let floor = serde_json::to_value(&new.floor).expect("a floor is plain values");
        let (counts_from, today) = (counts_from(zone), now.with_timezone(&zone).date_naive());
        let write = || {
            sqlx::query_file!(
                "src/floors/set.sql",
                new.venue_id.0,
                read_version,
                floor,
                counts_from,
                today,
                now,
                new.validate_only
            )
        };
        let row = self.database.fetch_one(write).await?;
        match row.outcome.as_str() {
            "set" => {
                let version = row.version.ok_or(ReadError::Corrupted(Corrupted::Column("set_floor.version")))?;
                let stored = StoredFloor { floor: new.floor.clone(), version, updated_at: now };
                Ok(Some(FloorSet {
                    floor: Some(stored).filter(|it| !it.floor.areas.is_empty()),
                    bookings_counted: row.counted.unwrap_or(0),
                    bookings_without_table: row.without_table.unwrap_or(0),
                }))
            }
            "contended" => Ok(None),
            "venue_not_found" => Err(ReadError::NotFound.into()),
            "area_has_bookings" => Err(SetFloorError::AreaHasBookings { area: row.area.unwrap_or_default() }),
            "table_has_bookings" => Err(SetFloorError::TableHasBookings {
                area: row.area.unwrap_or_default(),
                table: row.table_key.unwrap_or_default(),
            }),
            _ => Err(ReadError::Corrupted(Corrupted::Column("set_floor.outcome")).into()),
        }
    }
}

/// Where the ticks of a venue are counted from. Any day will do, as long as it is always the same.
fn counts_from(zone: TimeZone) -> DateTime<Utc> {
    let day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default();
    instant_or_next(zone, day.and_time(NaiveTime::from_hms_opt(DAY_BEGINS_AT, 0, 0).unwrap_or_default()))
}
