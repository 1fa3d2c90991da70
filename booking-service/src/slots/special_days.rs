//! SetSpecialDays, ListSpecialDays and DeleteSpecialDays.

use chrono::{NaiveDate, NaiveTime};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use super::{
    Slots,
    set_weekly_schedule::{ATTEMPTS_MAX, VersionsRead},
};
use crate::{
    domain::{
        BookingId, BookingStatus, LayoutRange, PlannedSlot, SpecialDays, SpecialDaysId, TimeZone, TooManySlots,
        TooManySpecialDays, VenueId, WeeklySchedule, delete_special_days, set_special_days,
    },
    venues::get::{StoredSchedule, VenueWithSchedule, read_venue},
};

/// The most affected bookings of an answer.
const AFFECTED_MAX: i64 = 100;

/// A position in a list: the first date and the id of special days.
pub type SpecialDaysCursor = (NaiveDate, SpecialDaysId);

/// A booking whose slot is not open any more.
pub struct AffectedBooking {
    pub booking_id: BookingId,
    pub date: NaiveDate,
    pub start_time: NaiveTime,
    pub status: BookingStatus,
    pub party_size: i32,
}

/// The first of the affected bookings, and the number of all.
#[derive(Default)]
pub struct AffectedBookings {
    pub bookings: Vec<AffectedBooking>,
    pub count: i64,
}

/// The special days that were set or deleted, as they are stored; `None` if there was nothing to delete.
pub struct SpecialDaysChanged {
    pub special_days: Option<SpecialDays>,
    pub affected: AffectedBookings,
}

/// The requested change.
pub enum SpecialDaysChange {
    Set(SpecialDays),
    Delete(SpecialDaysId),
}

/// Which special days are listed.
pub struct SpecialDaysQuery {
    pub venue_id: VenueId,
    /// Only those that end on this date or later.
    pub from_date: Option<NaiveDate>,
    /// Only those that begin on this date or earlier.
    pub to_date: Option<NaiveDate>,
}

/// Special days, and the position after which the next page starts, if there is one.
pub struct SpecialDaysPage {
    pub special_days: Vec<SpecialDays>,
    pub next: Option<SpecialDaysCursor>,
}

/// Why special days were not changed. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum ChangeSpecialDaysError {
    #[error("the venue cannot be read")]
    Venue(#[from] ReadError),
    #[error(transparent)]
    TooManySpecialDays(#[from] TooManySpecialDays),
    #[error(transparent)]
    TooManySlots(#[from] TooManySlots),
    #[error("the venue or its schedule changed during every attempt")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Slots {
    /// Sets or deletes special days of a venue and lays out its slots, as SetWeeklySchedule would with these special
    /// days. Later days are laid out with them when they come within the horizon. No booking is changed; those whose
    /// slots are not open any more are returned.
    ///
    /// The special days are stored in the row of the schedule, whose version the statement compares: of concurrent
    /// changes of the schedule or of special days, each is made on the outcome of the one before.
    ///
    /// # Errors
    /// [`ChangeSpecialDaysError`].
    pub async fn change_special_days(
        &self,
        venue_id: VenueId,
        change: &SpecialDaysChange,
        validate_only: bool,
    ) -> Result<SpecialDaysChanged, ChangeSpecialDaysError> {
        let mut found = None;
        for _ in 0..ATTEMPTS_MAX {
            let VenueWithSchedule { venue, schedule: current } = read_venue(&self.database, venue_id).await?;
            let read = VersionsRead::of(&venue, current.as_ref());
            let now = self.clock.now();
            let (mut schedule, set_at) = match current {
                Some(StoredSchedule { schedule, updated_at, .. }) => (schedule, updated_at),
                None => (WeeklySchedule::default(), now),
            };
            let zone = TimeZone::parse(&venue.time_zone)
                .map_err(|_| ReadError::Corrupted(Corrupted::Column("venues.time_zone")))?;
            let range = LayoutRange::of(zone, venue.horizon_days, now);
            let applied = apply(&mut schedule.special_days, change, range.first)?;
            // What an earlier attempt has found and is gone now was deleted by that attempt, whose answer was lost, or
            // by a concurrent call.
            let is_gone = applied.is_none();
            let Some(special_days) = applied.or(found) else {
                return Ok(SpecialDaysChanged { special_days: None, affected: AffectedBookings::default() });
            };
            found = Some(special_days.clone());
            let slots = schedule.lay_out(zone, range.first, range.last)?;
            // Before anything is written: too many slots are refused.
            let affected_days = (special_days.first_date.max(range.first), special_days.last_date);
            let planned = schedule.lay_out(zone, affected_days.0, affected_days.1)?;
            if !validate_only && !is_gone {
                if self.lay_out(venue_id, read, &schedule, set_at, range, &slots).await?.is_none() {
                    continue;
                }
                self.freed_seats.wake_if_entries_wait();
            }
            let affected = self.affected_bookings(venue_id, &planned, affected_days).await?;
            return Ok(SpecialDaysChanged { special_days: Some(special_days), affected });
        }
        Err(ChangeSpecialDaysError::Contended)
    }

    /// The bookings in slots of these dates that the schedule does not have open. Beyond the horizon there may be
    /// bookings too, if it was longer before.
    async fn affected_bookings(
        &self,
        venue_id: VenueId,
        planned: &[PlannedSlot],
        (first, last): (NaiveDate, NaiveDate),
    ) -> Result<AffectedBookings, DatabaseError> {
        let open = planned.iter().filter(|slot| !slot.is_closed);
        let (dates, start_times): (Vec<_>, Vec<_>) = open.map(|slot| (slot.date, slot.start_time)).unzip();
        let now = self.clock.now();
        let rows = self
            .database
            .fetch_all(|| {
                sqlx::query_file_as!(
                    AffectedRow,
                    "src/slots/affected_bookings.sql",
                    venue_id.0,
                    first,
                    last,
                    &dates,
                    &start_times,
                    now,
                    AFFECTED_MAX,
                )
            })
            .await?;
        let count = rows.first().map_or(0, |row| row.affected_count);
        Ok(AffectedBookings { bookings: rows.into_iter().map(AffectedRow::booking).collect(), count })
    }

    /// Lists special days by first date and id, after the cursor position. A venue has a bounded number of them in one
    /// row.
    ///
    /// # Errors
    /// [`ReadError`]; `NotFound` if there is no such venue.
    pub async fn list_special_days(
        &self,
        query: &SpecialDaysQuery,
        after: Option<SpecialDaysCursor>,
        page_size: u16,
    ) -> Result<SpecialDaysPage, ReadError> {
        let VenueWithSchedule { schedule, .. } = read_venue(&self.database, query.venue_id).await?;
        let position = |special: &SpecialDays| (special.first_date, special.id);
        let mut special_days = schedule.map_or_else(Vec::new, |stored| stored.schedule.special_days);
        special_days.retain(|special| {
            query.from_date.is_none_or(|from| special.last_date >= from)
                && query.to_date.is_none_or(|to| special.first_date <= to)
                && after.is_none_or(|after| position(special) > after)
        });
        special_days.sort_by_key(position);
        let more = special_days.len() > page_size.into();
        special_days.truncate(page_size.into());
        let next = special_days.last().filter(|_| more).map(position);
        Ok(SpecialDaysPage { special_days, next })
    }
}

/// Applies the change. Returns the special days as they are stored, or as they were before they were deleted.
fn apply(
    all: &mut Vec<SpecialDays>,
    change: &SpecialDaysChange,
    today: NaiveDate,
) -> Result<Option<SpecialDays>, TooManySpecialDays> {
    match change {
        SpecialDaysChange::Set(new) => {
            set_special_days(all, new.clone(), today)?;
            Ok(all.iter().find(|special| special.id == new.id).cloned())
        }
        SpecialDaysChange::Delete(id) => Ok(delete_special_days(all, *id)),
    }
}

/// A row of `affected_bookings.sql`.
struct AffectedRow {
    booking_id: uuid::Uuid,
    slot_date: NaiveDate,
    start_time: NaiveTime,
    status: BookingStatus,
    party_size: i32,
    affected_count: i64,
}

impl AffectedRow {
    fn booking(self) -> AffectedBooking {
        AffectedBooking {
            booking_id: BookingId(self.booking_id),
            date: self.slot_date,
            start_time: self.start_time,
            status: self.status,
            party_size: self.party_size,
        }
    }
}
