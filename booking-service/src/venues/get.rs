use chrono::{DateTime, Utc};
use serde_json::Value;
use teppan_shared::{
    postgres::Database,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use crate::{
    domain::{VenueId, WeeklySchedule},
    venues::Venues,
};

/// A venue and its policy, with the fields of the contract.
pub struct Venue {
    pub venue_id: Uuid,
    pub name: String,
    pub time_zone: String,
    pub currency: String,
    pub min_party_size: i32,
    pub max_party_size: i32,
    pub notice_minutes: i32,
    pub horizon_days: i32,
    pub hold_minutes: i32,
    pub deposit_percent: i32,
    pub full_refund_hours: i32,
    pub late_refund_percent: i32,
    pub waitlist_hold_minutes: i32,
    pub undo_minutes: i32,
    pub phone_region: String,
    pub tags: Vec<String>,
    pub place: String,
    /// How long before a booking its guest is reminded, the longest first.
    pub reminder_minutes: Vec<i32>,
    pub deposit_per_person_cents: i64,
    pub deposit_fixed_cents: i64,
    pub deposit_min_party_size: i32,
    pub minimum_spend_cents: i64,
    pub no_show_fee_per_person_cents: i64,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A venue, and its schedule if one was set.
pub struct VenueWithSchedule {
    pub venue: Venue,
    pub schedule: Option<StoredSchedule>,
}

/// The current schedule of a venue.
pub struct StoredSchedule {
    pub schedule: WeeklySchedule,
    /// Rises each time the schedule is set or laid out further.
    pub version: i64,
    pub updated_at: DateTime<Utc>,
}

impl Venues {
    /// Reads one venue.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_venue(&self, venue_id: VenueId) -> Result<VenueWithSchedule, ReadError> {
        read_venue(&self.database, venue_id).await
    }
}

/// A venue and its schedule.
pub async fn read_venue(database: &Database, venue_id: VenueId) -> Result<VenueWithSchedule, ReadError> {
    let row = database
        .fetch_optional(|| sqlx::query_file!("src/venues/get.sql", venue_id.0))
        .await?
        .ok_or(ReadError::NotFound)?;
    let schedule = match (row.periods, row.exceptions, row.special_days, row.schedule_version, row.schedule_updated_at)
    {
        (Some(periods), Some(exceptions), Some(special_days), Some(version), Some(updated_at)) => {
            let schedule = read_schedule(periods, exceptions, special_days)?;
            Some(StoredSchedule { schedule, version, updated_at })
        }
        _ => None,
    };
    let venue = Venue {
        venue_id: row.venue_id,
        name: row.name,
        time_zone: row.time_zone,
        currency: row.currency,
        min_party_size: row.min_party_size,
        max_party_size: row.max_party_size,
        notice_minutes: row.notice_minutes,
        horizon_days: row.horizon_days,
        hold_minutes: row.hold_minutes,
        deposit_percent: row.deposit_percent,
        full_refund_hours: row.full_refund_hours,
        late_refund_percent: row.late_refund_percent,
        waitlist_hold_minutes: row.waitlist_hold_minutes,
        undo_minutes: row.undo_minutes,
        phone_region: row.phone_region,
        tags: row.tags,
        place: row.place,
        reminder_minutes: row.reminder_minutes,
        deposit_per_person_cents: row.deposit_per_person_cents,
        deposit_fixed_cents: row.deposit_fixed_cents,
        deposit_min_party_size: row.deposit_min_party_size,
        minimum_spend_cents: row.minimum_spend_cents,
        no_show_fee_per_person_cents: row.no_show_fee_per_person_cents,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    Ok(VenueWithSchedule { venue, schedule })
}

/// Reads a schedule from its columns.
pub fn read_schedule(periods: Value, exceptions: Value, special_days: Value) -> Result<WeeklySchedule, Corrupted> {
    Ok(WeeklySchedule {
        periods: serde_json::from_value(periods).map_err(|_| Corrupted::Column("weekly_schedules.periods"))?,
        exceptions: serde_json::from_value(exceptions).map_err(|_| Corrupted::Column("weekly_schedules.exceptions"))?,
        special_days: serde_json::from_value(special_days)
            .map_err(|_| Corrupted::Column("weekly_schedules.special_days"))?,
    })
}
