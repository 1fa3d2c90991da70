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

/// Venues that one run takes.
const VENUES_MAX: i64 = 20;
/// Slots that one statement lays out, and up to a day's more.
const SLOTS_AT_ONCE: usize = 5_000;
/// How long a run may take before another process takes its venues.
const CLAIM: TimeDelta = TimeDelta::minutes(1);

/// A venue whose days are to be laid out, as it was read.
pub struct LayoutRow {
    pub venue_id: Uuid,
    pub venue_version: i64,
    pub time_zone: String,
    pub horizon_days: i32,
    pub laid_out_until: Option<NaiveDate>,
    pub periods: serde_json::Value,
    pub exceptions: serde_json::Value,
    pub schedule_version: i64,
    pub due_since: DateTime<Utc>,
}

/// How a part of a layout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Up to the horizon.
    Last,
    /// Not up to the horizon.
    More,
    /// Not done: the venue or its schedule changed meanwhile.
    Overtaken,
}

impl Slots {
    /// Lays out the days of a bounded number of venues that have come within their horizon, exactly
    /// as SetWeeklySchedule would have.
    ///
    /// Any number of processes may do it at once: each takes venues that no other has, and what one
    /// leaves undone is due again a minute later. It takes turns with SetWeeklySchedule by the version
    /// of the schedule, and no booking waits for it.
    pub async fn lay_out_due_slots(&self) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let due = self.claim_layouts(now).await?;
        let mut batch = Batch { more: i64::try_from(due.len()) == Ok(VENUES_MAX), ..Batch::default() };
        for row in due {
            // What the version before wrote is due since ever: that is no lag.
            if row.due_since > DateTime::UNIX_EPOCH {
                batch.lag = batch.lag.max((now - row.due_since).to_std().unwrap_or_default());
            }
            match self.lay_out_some_days(&row).await {
                Ok(Part::Last | Part::Overtaken) => batch.done += 1,
                Ok(Part::More) => batch.more = true,
                // None of the others can be laid out either.
                Err(ReadError::Database(error)) if error.is_away() => return Err(error),
                // One venue that cannot be laid out must not keep the others from it.
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(venue_id = %row.venue_id, error, "the slots of a venue are not laid out");
                    batch.failed += 1;
                }
            }
        }
        Ok(batch)
    }

    /// Lays out days of one venue. What is left, or came in between, is due, and the worker's.
    pub(crate) async fn lay_out_missing_slots(&self, venue: &LayoutRow) -> Result<(), ReadError> {
        if self.lay_out_some_days(venue).await? != Part::Last {
            self.layout.nudge();
        }
        Ok(())
    }

    async fn claim_layouts(&self, now: DateTime<Utc>) -> Result<Vec<LayoutRow>, DatabaseError> {
        let claim = || sqlx::query_file_as!(LayoutRow, "src/slots/claim_layouts.sql", now, now + CLAIM, VENUES_MAX);
        self.database.fetch_all(claim).await
    }

    async fn lay_out_some_days(&self, row: &LayoutRow) -> Result<Part, ReadError> {
        let zone = TimeZone::parse(&row.time_zone).map_err(|_| Corrupted::Column("venues.time_zone"))?;
        let schedule = read_schedule(row.periods.clone(), row.exceptions.clone())?;
        let now = self.clock.now();
        let range = LayoutRange::of(zone, row.horizon_days, now);
        let (slots, until) = match range.first_missing(row.laid_out_until) {
            Some(first) => schedule.lay_out_some(zone, first, range.last, SLOTS_AT_ONCE),
            None => (Vec::new(), range.last),
        };
        let is_last = until == range.last;
        // The horizon may have been brought nearer: what is laid out beyond it is.
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
