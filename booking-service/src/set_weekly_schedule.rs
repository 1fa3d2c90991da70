use chrono::NaiveDate;
use teppan_shared::postgres::DatabaseError;

use crate::{
    core::{Core, Corrupted, ReadError},
    domain::{PlannedSlot, TooManySlots, VenueId, VenueTimeZone, WeeklySchedule, layout_range},
};

/// Each attempt after the first follows a change of the venue by somebody else.
const ATTEMPTS_MAX: usize = 5;

/// What laying out a schedule did, in slots from `first_date` to `last_date`.
pub struct LaidOut {
    pub created: i64,
    pub updated: i64,
    pub closed: i64,
    pub kept_reserved: i64,
    pub unchanged: i64,
    pub first_date: NaiveDate,
    pub last_date: NaiveDate,
}

/// Why the schedule was not set. Whatever it is, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SetScheduleError {
    #[error("the venue cannot be read")]
    Venue(#[from] ReadError),
    #[error(transparent)]
    TooManySlots(#[from] TooManySlots),
    #[error("the venue changed under every attempt")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Core {
    /// Replaces a venue's schedule and lays out its slots from today to the horizon. No booking is
    /// touched: a slot that is no longer scheduled takes no new ones, and no slot gets fewer seats
    /// than are reserved on it.
    ///
    /// # Errors
    /// [`SetScheduleError`]; whatever it is, nothing was written.
    pub async fn set_weekly_schedule(
        &self,
        venue_id: VenueId,
        schedule: &WeeklySchedule,
    ) -> Result<LaidOut, SetScheduleError> {
        for _ in 0..ATTEMPTS_MAX {
            // The zone and the horizon are needed to tell the slots; the statement makes sure that
            // they still hold.
            let venue = self.get_venue(venue_id).await?.venue;
            let zone = VenueTimeZone::parse(&venue.time_zone)
                .map_err(|_| ReadError::Corrupted(Corrupted::Column("venues.time_zone")))?;
            let dates = layout_range(zone, venue.horizon_days, self.clock.now());
            let slots = schedule.lay_out(zone, dates.0, dates.1)?;
            if let Some(done) = self.lay_out(venue_id, venue.version, schedule, dates, &slots).await? {
                return Ok(done);
            }
        }
        Err(SetScheduleError::Contended)
    }

    /// `None` when the venue is at another version by now.
    async fn lay_out(
        &self,
        venue_id: VenueId,
        venue_version: i64,
        schedule: &WeeklySchedule,
        (first_date, last_date): (NaiveDate, NaiveDate),
        slots: &[PlannedSlot],
    ) -> Result<Option<LaidOut>, DatabaseError> {
        let periods = serde_json::to_value(&schedule.periods).expect("periods are plain values");
        let exceptions = serde_json::to_value(&schedule.exceptions).expect("exceptions are plain values");
        let dates: Vec<_> = slots.iter().map(|slot| slot.date).collect();
        let start_times: Vec<_> = slots.iter().map(|slot| slot.start_time).collect();
        let starts_at: Vec<_> = slots.iter().map(|slot| slot.starts_at).collect();
        let ends_at: Vec<_> = slots.iter().map(|slot| slot.ends_at).collect();
        let capacities: Vec<_> = slots.iter().map(|slot| slot.capacity).collect();
        let prices: Vec<_> = slots.iter().map(|slot| slot.price_per_person_cents).collect();
        let now = self.clock.now();
        let counts = self
            .database
            .fetch_optional(|| {
                sqlx::query_file!(
                    "queries/set_weekly_schedule.sql",
                    venue_id.0,
                    venue_version,
                    periods,
                    exceptions,
                    now,
                    first_date,
                    last_date,
                    &dates,
                    &start_times,
                    &starts_at,
                    &ends_at,
                    &capacities,
                    &prices,
                )
            })
            .await?;
        Ok(counts.map(|counts| LaidOut {
            created: counts.created,
            updated: counts.updated,
            closed: counts.closed,
            kept_reserved: counts.kept_reserved,
            unchanged: counts.unchanged,
            first_date,
            last_date,
        }))
    }
}
