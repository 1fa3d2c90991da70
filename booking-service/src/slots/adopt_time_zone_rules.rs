use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    time_zone::Rules,
    worker::{Batch, Job},
};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    domain::{TimeZone, instant_or_next},
    slots::Slots,
};

/// The most venues of one run.
const VENUES_MAX: i64 = 20;
/// The most slots that one statement reads, and that one statement moves.
const SLOTS_READ: i64 = 5_000;
const SLOTS_MOVED: usize = 500;
/// The most bookings that one statement reads.
const BOOKINGS_MAX: usize = 200;
/// A run stops after it has corrected this many bookings of one venue; the next run does the rest.
const CORRECTED_MAX: usize = 2_000;

/// A venue whose slots are not all laid out by the rules in force, or whose clock has changed and must be renewed.
struct DueVenue {
    venue_id: Uuid,
    time_zone: String,
    is_behind: bool,
    schedule_version: Option<i64>,
}

/// The result for one venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adoption {
    Done,
    /// More is left to do, or slots were laid out concurrently.
    More,
}

impl Slots {
    /// Applies the time zone rules in force to a bounded number of venues: to their clocks, to their slots that have
    /// not begun, and to the bookings of those slots, each by an event. `after` is the last venue of the previous
    /// run; it is set to the last venue of this run, or to `None` after the last of all.
    ///
    /// Local times stay as promised; their instants change. Any number of replicas may run this at once, and again
    /// after a crash: every step writes only what differs, and the venue is marked last, only if no slots were laid
    /// out meanwhile. A replica with older rules leaves slots as newer rules have laid them out.
    pub async fn adopt_time_zone_rules(&self, after: &mut Option<Uuid>) -> Result<Batch, DatabaseError> {
        let rules = Rules::in_force().version().as_str();
        let now = self.clock.now();
        let cursor = after.unwrap_or_default();
        let due =
            || sqlx::query_file_as!(DueVenue, "src/slots/venues_of_older_rules.sql", rules, now, cursor, VENUES_MAX);
        let due = self.database.fetch_all(due).await?;
        let is_full = i64::try_from(due.len()) == Ok(VENUES_MAX);
        *after = due.last().filter(|_| is_full).map(|venue| venue.venue_id);
        let mut batch = Batch { more: is_full, ..Batch::default() };
        for venue in due {
            match self.adopt_rules_at(&venue).await {
                Ok(Adoption::Done) => batch.done += 1,
                Ok(Adoption::More) => batch.more = true,
                // The failure affects every venue, so the next run begins again at the first venue.
                Err(ReadError::Database(error)) if error.is_unavailable() => {
                    *after = None;
                    return Err(error);
                }
                // One venue that fails must not hold up the others.
                Err(error) => {
                    let (venue_id, error) = (venue.venue_id, error_chain(&error));
                    tracing::error!(%venue_id, error, "time zone rules could not be applied to a venue");
                    batch.failed += 1;
                }
            }
        }
        Ok(batch)
    }

    async fn adopt_rules_at(&self, venue: &DueVenue) -> Result<Adoption, ReadError> {
        let zone = TimeZone::parse(&venue.time_zone).map_err(|_| Corrupted::Column("venues.time_zone"))?;
        let rules = Rules::in_force().version().as_str();
        let clock = zone.clock_from(self.clock.now());
        if !venue.is_behind {
            let renew = || {
                sqlx::query_file!(
                    "src/slots/renew_clock.sql",
                    venue.venue_id,
                    zone.name(),
                    clock.offset_seconds,
                    clock.changes_at,
                    clock.next_offset_seconds,
                    rules,
                )
            };
            self.database.fetch_optional(renew).await?;
            return Ok(Adoption::Done);
        }
        let slots = self.correct_slots(venue, zone).await?;
        let Some(bookings) = self.correct_bookings(venue, zone).await? else { return Ok(Adoption::More) };
        if slots > 0 || bookings > 0 {
            let venue_id = venue.venue_id;
            tracing::info!(%venue_id, time_zone = zone.name(), rules, slots, bookings, "newer time zone rules applied");
        }
        let adopt = || {
            sqlx::query_file!(
                "src/slots/adopt_time_zone_rules.sql",
                venue.venue_id,
                zone.name(),
                rules,
                venue.schedule_version,
                clock.offset_seconds,
                clock.changes_at,
                clock.next_offset_seconds,
            )
        };
        let adopted = self.database.fetch_optional(adopt).await?;
        Ok(if adopted.is_some() { Adoption::Done } else { Adoption::More })
    }

    /// Moves the slots of a venue that have not begun by the old rules or by the new ones. Returns how many.
    async fn correct_slots(&self, venue: &DueVenue, zone: TimeZone) -> Result<i64, DatabaseError> {
        let now = self.clock.now();
        let first = first_date(zone, now);
        // A page begins after its cursor.
        let (mut date, mut time) = (first - Days::new(1), NaiveTime::MIN);
        let mut moved = 0;
        loop {
            let page = || sqlx::query_file!("src/slots/slots_ahead.sql", venue.venue_id, first, date, time, SLOTS_READ);
            let page = self.database.fetch_all(page).await?;
            let (mut dates, mut times, mut starts_at) = (Vec::new(), Vec::new(), Vec::new());
            for slot in &page {
                let corrected = instant_or_next(zone, slot.slot_date.and_time(slot.start_time));
                if corrected != slot.starts_at && corrected.max(slot.starts_at) > now {
                    dates.push(slot.slot_date);
                    times.push(slot.start_time);
                    starts_at.push(corrected);
                }
            }
            let chunks = dates.chunks(SLOTS_MOVED).zip(times.chunks(SLOTS_MOVED)).zip(starts_at.chunks(SLOTS_MOVED));
            for ((dates, times), starts_at) in chunks {
                moved += self.move_slots(venue, zone, dates, times, starts_at).await?;
            }
            match page.last() {
                Some(last) if i64::try_from(page.len()) == Ok(SLOTS_READ) => {
                    (date, time) = (last.slot_date, last.start_time);
                }
                _ => break,
            }
        }
        if moved > 0 {
            self.layout.nudge();
            self.freed_seats.wake_if_entries_wait();
        }
        Ok(moved)
    }

    async fn move_slots(
        &self,
        venue: &DueVenue,
        zone: TimeZone,
        dates: &[NaiveDate],
        times: &[NaiveTime],
        starts_at: &[DateTime<Utc>],
    ) -> Result<i64, DatabaseError> {
        let now = self.clock.now();
        let today = now.with_timezone(&zone).date_naive();
        let rules = Rules::in_force().version().as_str();
        let correct = || {
            sqlx::query_file!(
                "src/slots/correct_slots.sql",
                venue.venue_id,
                zone.name(),
                dates,
                times,
                starts_at,
                today,
                rules,
                now,
            )
        };
        Ok(self.database.fetch_one(correct).await?.moved)
    }

    /// Moves the bookings of a venue to the instants of their slots. Returns how many; `None` if some are left. A
    /// booking that cannot be corrected stops no other, but the venue stays due.
    async fn correct_bookings(&self, venue: &DueVenue, zone: TimeZone) -> Result<Option<usize>, ReadError> {
        let now = self.clock.now();
        let rules = Rules::in_force().version().as_str();
        let first = first_date(zone, now);
        let limit = i64::try_from(BOOKINGS_MAX).unwrap_or(i64::MAX);
        let mut after = (first - Days::new(1), NaiveTime::MIN, Uuid::nil());
        let (mut corrected, mut failed) = (0, 0);
        while corrected < CORRECTED_MAX {
            let page = || {
                let (date, time, id) = after;
                let venue_id = venue.venue_id;
                sqlx::query_file!("src/slots/bookings_beside_slots.sql", venue_id, first, date, time, id, limit, now)
            };
            let page = self.database.fetch_all(page).await?;
            let differing: Vec<_> = page.iter().filter(|it| it.differs).map(|it| it.booking_id).collect();
            let result = self.bookings.correct_instants(&differing, rules).await?;
            corrected += result.corrected;
            failed += result.failed;
            if !result.stale.is_empty() {
                return Ok(None);
            }
            match page.last() {
                Some(last) if page.len() == BOOKINGS_MAX => {
                    after = (last.slot_date, last.start_time, last.booking_id);
                }
                _ if failed > 0 => return Err(Corrupted::Column("bookings.starts_at").into()),
                _ => return Ok(Some(corrected)),
            }
        }
        Ok(None)
    }
}

/// The first date whose slots are read: yesterday. A slot that is in the future by one set of rules can be on
/// yesterday's date by the other.
fn first_date(zone: TimeZone, now: DateTime<Utc>) -> NaiveDate {
    now.with_timezone(&zone).date_naive() - Days::new(1)
}

/// Applies the time zone rules in force to venues, slots and bookings, after a start with newer rules.
pub struct TimeZoneRules {
    slots: Arc<Slots>,
    /// Cursor: the last venue of the previous run, so that venues that fail do not hold up those after them.
    after: Mutex<Option<Uuid>>,
}

impl TimeZoneRules {
    pub fn new(slots: Arc<Slots>) -> Self {
        Self { slots, after: Mutex::default() }
    }
}

impl Job for TimeZoneRules {
    type Error = DatabaseError;
    const NAME: &'static str = "time-zone-rules";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.slots.adopt_time_zone_rules(&mut *self.after.lock().await).await
    }
}
