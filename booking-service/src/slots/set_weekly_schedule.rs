use chrono::{DateTime, NaiveDate, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    time_zone::Rules,
};

use crate::{
    domain::{LayoutRange, PlannedSlot, TimeZone, TooManySlots, VenueId, WeeklySchedule},
    slots::Slots,
    slots::columns::SlotColumns,
    venues::get::{StoredSchedule, Venue, VenueWithSchedule, read_venue},
};

/// Each attempt after the first follows a concurrent change of the venue or its schedule. Of several concurrent calls,
/// one succeeds in each round, so at least this many succeed.
pub(super) const ATTEMPTS_MAX: usize = 20;

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
pub(super) struct VersionsRead {
    venue: i64,
    /// 0 if no schedule was set.
    schedule: i64,
}

impl VersionsRead {
    pub(super) fn of(venue: &Venue, schedule: Option<&StoredSchedule>) -> Self {
        Self { venue: venue.version, schedule: schedule.map_or(0, |schedule| schedule.version) }
    }
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
            let now = self.clock.now();
            let read = VersionsRead::of(&venue, current.as_ref());
            // The special days stay, and take precedence over the new schedule.
            let special_days = current.map_or_else(Vec::new, |current| current.schedule.special_days);
            let schedule = &WeeklySchedule { special_days, ..schedule.clone() };
            let zone = TimeZone::parse(&venue.time_zone)
                .map_err(|_| ReadError::Corrupted(Corrupted::Column("venues.time_zone")))?;
            let range = LayoutRange::of(zone, venue.horizon_days, now);
            let slots = schedule.lay_out(zone, range.first, range.last)?;
            if let Some(done) = self.lay_out(venue_id, read, schedule, now, range, &slots).await? {
                self.freed_seats.wake_if_entries_wait();
                return Ok(done);
            }
        }
        Err(SetScheduleError::Contended)
    }

    /// Stores the schedule and lays out its slots. `None` if the venue or its schedule has another version now.
    pub(super) async fn lay_out(
        &self,
        venue_id: VenueId,
        read: VersionsRead,
        schedule: &WeeklySchedule,
        set_at: DateTime<Utc>,
        range: LayoutRange,
        slots: &[PlannedSlot],
    ) -> Result<Option<LaidOut>, DatabaseError> {
        let periods = serde_json::to_value(&schedule.periods).expect("periods are plain values");
        let exceptions = serde_json::to_value(&schedule.exceptions).expect("exceptions are plain values");
        let special_days = serde_json::to_value(&schedule.special_days).expect("special days are plain values");
        let columns = SlotColumns::of(slots);
        let counts = self
            .database
            .fetch_optional(|| {
                sqlx::query_file!(
                    "src/slots/set_weekly_schedule.sql",
                    venue_id.0,
                    read.venue,
                    periods,
                    exceptions,
                    set_at,
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
                    special_days,
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
