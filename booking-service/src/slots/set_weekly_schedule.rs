use chrono::NaiveDate;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    time_zone::Rules,
};

use crate::{
    domain::{LayoutRange, PlannedSlot, TimeZone, TooManySlots, VenueId, WeeklySchedule},
    slots::Slots,
    slots::columns::SlotColumns,
    venues::get::{VenueWithSchedule, read_venue},
};

/// Each attempt after the first follows a concurrent change of the venue or its schedule. Of several concurrent calls,
/// one succeeds in each round, so at least this many succeed.
const ATTEMPTS_MAX: usize = 20;

/// The result of a layout: numbers of slots from `first_date` to `last_date`.
pub struct LaidOut {
    pub created: i64,
    pub updated: i64,
    pub closed: i64,
    pub kept_reserved: i64,
    pub unchanged: i64,
    pub first_date: NaiveDate,
    pub last_date: NaiveDate,
}

/// The versions from which the slots were computed.
#[derive(Clone, Copy)]
struct VersionsRead {
    venue: i64,
    /// 0 if no schedule was set.
    schedule: i64,
}

/// Why the schedule was not set. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum SetScheduleError {
    #[error("the venue cannot be read")]
    Venue(#[from] ReadError),
    #[error(transparent)]
    TooManySlots(#[from] TooManySlots),
    #[error("the venue or its schedule changed during every attempt")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Slots {
    /// Replaces a venue's schedule and lays out its slots from today to the horizon. Later days are laid out when they
    /// come within the horizon; see `lay_out.rs`. No booking is changed: a slot that is no longer scheduled takes no
    /// new bookings, and no slot gets fewer seats than are reserved. Values that UpdateSlot has set stay.
    ///
    /// # Errors
    /// [`SetScheduleError`].
    pub async fn set_weekly_schedule(
        &self,
        venue_id: VenueId,
        schedule: &WeeklySchedule,
    ) -> Result<LaidOut, SetScheduleError> {
        for _ in 0..ATTEMPTS_MAX {
            // The slots are computed from the time zone and the horizon. The statement checks that these have not
            // changed, and that no other schedule was set meanwhile.
            let VenueWithSchedule { venue, schedule: current } = read_venue(&self.database, venue_id).await?;
            let read = VersionsRead { venue: venue.version, schedule: current.map_or(0, |current| current.version) };
            let zone = TimeZone::parse(&venue.time_zone)
                .map_err(|_| ReadError::Corrupted(Corrupted::Column("venues.time_zone")))?;
            let range = LayoutRange::of(zone, venue.horizon_days, self.clock.now());
            let slots = schedule.lay_out(zone, range.first, range.last)?;
            if let Some(done) = self.lay_out(venue_id, read, schedule, range, &slots).await? {
                self.freed_seats.wake_if_entries_wait();
                return Ok(done);
            }
        }
        Err(SetScheduleError::Contended)
    }

    /// `None` if the venue or its schedule has another version now.
    async fn lay_out(
        &self,
        venue_id: VenueId,
        read: VersionsRead,
        schedule: &WeeklySchedule,
        range: LayoutRange,
        slots: &[PlannedSlot],
    ) -> Result<Option<LaidOut>, DatabaseError> {
        let periods = serde_json::to_value(&schedule.periods).expect("periods are plain values");
        let exceptions = serde_json::to_value(&schedule.exceptions).expect("exceptions are plain values");
        let columns = SlotColumns::of(slots);
        let now = self.clock.now();
        let counts = self
            .database
            .fetch_optional(|| {
                sqlx::query_file!(
                    "src/slots/set_weekly_schedule.sql",
                    venue_id.0,
                    read.venue,
                    periods,
                    exceptions,
                    now,
                    range.first,
                    range.last,
                    &columns.dates,
                    &columns.start_times,
                    &columns.starts_at,
                    &columns.ends_at,
                    &columns.capacities,
                    &columns.prices,
                    read.schedule,
                    range.next_at,
                    Rules::in_force().version().as_str(),
                    &columns.closed,
                )
            })
            .await?;
        Ok(counts.map(|counts| LaidOut {
            created: counts.created,
            updated: counts.updated,
            closed: counts.closed,
            kept_reserved: counts.kept_reserved,
            unchanged: counts.unchanged,
            first_date: range.first,
            last_date: range.last,
        }))
    }
}
