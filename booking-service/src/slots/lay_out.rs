use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    time_zone::Rules,
    worker::{Batch, Job},
};
use uuid::Uuid;

use crate::{
    domain::{LayoutRange, TimeZone},
    slots::Slots,
    slots::columns::SlotColumns,
    venues::get::read_schedule,
};

/// The most venues of one run.
const VENUES_MAX: i64 = 20;
/// The slots that one statement lays out; the last day is completed, so it can be up to a day more.
const SLOTS_AT_ONCE: usize = 5_000;
/// How long a run may take before another process takes its venues.
const LEASE: TimeDelta = TimeDelta::minutes(1);

/// A venue whose days must be laid out, as it was read.
pub struct LayoutRow {
    pub venue_id: Uuid,
    pub venue_version: i64,
    pub time_zone: String,
    pub horizon_days: i32,
    pub laid_out_until: Option<NaiveDate>,
    pub periods: serde_json::Value,
    pub exceptions: serde_json::Value,
    pub special_days: serde_json::Value,
    pub schedule_version: i64,
    pub due_since: DateTime<Utc>,
}

/// The result of one step of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All days up to the horizon are laid out.
    Last,
    /// More days up to the horizon are left.
    More,
    /// Nothing was written, because the venue or its schedule changed meanwhile.
    Overtaken,
}

impl Slots {
    /// Lays out the days that have come within the horizon, for a bounded number of venues, exactly as
    /// SetWeeklySchedule would.
    ///
    /// Any number of processes may run this concurrently: each leases different venues, and unfinished venues are due
    /// again after a minute. The version of the schedule detects a concurrent SetWeeklySchedule. No booking waits for
    /// it.
    pub async fn lay_out_due_slots(&self) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let due = self.claim_layouts(now).await?;
        let mut batch = Batch { more: i64::try_from(due.len()) == Ok(VENUES_MAX), ..Batch::default() };
        for row in due {
            // The default of `next_layout_at` is the epoch; it is no lag.
            if row.due_since > DateTime::UNIX_EPOCH {
                batch.lag = batch.lag.max((now - row.due_since).to_std().unwrap_or_default());
            }
            match self.lay_out_some_days(&row).await {
                Ok(Part::Last | Part::Overtaken) => batch.done += 1,
                Ok(Part::More) => batch.more = true,
                // The failure affects every venue.
                Err(ReadError::Database(error)) if error.is_unavailable() => return Err(error),
                // One venue that fails must not block the others.
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(venue_id = %row.venue_id, error, "the slots of a venue are not laid out");
                    batch.failed += 1;
                }
            }
        }
        Ok(batch)
    }

    /// Lays out days of one venue, and wakes the worker for the days that remain.
    pub(crate) async fn lay_out_missing_slots(&self, venue: &LayoutRow) -> Result<(), ReadError> {
        if self.lay_out_some_days(venue).await? != Part::Last {
            self.layout.nudge();
        }
        Ok(())
    }

    async fn claim_layouts(&self, now: DateTime<Utc>) -> Result<Vec<LayoutRow>, DatabaseError> {
        let claim = || sqlx::query_file_as!(LayoutRow, "src/slots/claim_layouts.sql", now, now + LEASE, VENUES_MAX);
        self.database.fetch_all(claim).await
    }

    async fn lay_out_some_days(&self, row: &LayoutRow) -> Result<Part, ReadError> {
        let zone = TimeZone::parse(&row.time_zone).map_err(|_| Corrupted::Column("venues.time_zone"))?;
        let schedule = read_schedule(row.periods.clone(), row.exceptions.clone(), row.special_days.clone())?;
        let now = self.clock.now();
        let range = LayoutRange::of(zone, row.horizon_days, now);
        let (slots, until) = match range.first_missing(row.laid_out_until) {
            Some(first) => schedule.lay_out_some(zone, first, range.last, SLOTS_AT_ONCE),
            None => (Vec::new(), range.last),
        };
        let is_last = until == range.last;
        // After the horizon was shortened, days beyond it are laid out already and count as such.
        let until = row.laid_out_until.map_or(until, |laid_out| laid_out.max(until));
        let next_at = if is_last { range.next_at } else { now };
        let columns = SlotColumns::of(&slots);
        let laid = self
            .database
            .fetch_optional(|| {
                sqlx::query_file!(
                    "src/slots/lay_out_days.sql",
                    row.venue_id,
                    row.venue_version,
                    row.schedule_version,
                    until,
                    next_at,
                    &columns.dates,
                    &columns.start_times,
                    &columns.starts_at,
                    &columns.ends_at,
                    &columns.capacities,
                    &columns.prices,
                    Rules::in_force().version().as_str(),
                    &columns.closed,
                    row.laid_out_until,
                )
            })
            .await?;
        Ok(match laid {
            None => Part::Overtaken,
            Some(_) if is_last => Part::Last,
            Some(_) => Part::More,
        })
    }
}

/// Lays out the slots of every venue up to its horizon, as days pass.
pub struct SlotLayout(pub Arc<Slots>);

impl Job for SlotLayout {
    type Error = DatabaseError;
    const NAME: &'static str = "slot-layout";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.lay_out_due_slots().await
    }
}
