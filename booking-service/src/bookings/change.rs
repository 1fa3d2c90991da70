//! What the changes of a booking have in common; each has a file, and a statement, of its own.

mod answer;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Map,
};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, telemetry};
use tokio::time::Instant;

pub use self::answer::ChangeAnswer;
use self::answer::Outcome;
use crate::{
    bookings::metrics::WaitlistChange,
    bookings::row::{Booking, BookingRow},
    core::Core,
    domain::{BookingChange, BookingId, BookingStatus, ChangeRefusal, Etag, EventId},
};

/// What an inline delivery is told to have left; it takes half of it.
pub const DELIVERY_TIME: Duration = Duration::from_secs(2);
/// How often a statement is run. Each run after the first follows something that came in between, as
/// [`came_in_between`] says, or a move of the booking to a slot newer than the snapshot.
pub const ATTEMPTS_MAX: usize = 8;

/// Which booking is to change, and as what it was last read; without that whatever it is.
#[derive(Debug, Clone, Copy)]
pub struct BookingTarget {
    pub booking_id: BookingId,
    pub etag: Option<Etag>,
}

impl BookingTarget {
    pub fn version(&self) -> Option<i64> {
        self.etag.map(Etag::version)
    }
}

/// Why a booking was not changed. Nothing was written, unless [`DatabaseError`] leaves it open; but for `Corrupted`,
/// which is also the answer when the booking was changed and its wishes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangeBookingError {
    #[error("there is no such booking")]
    NotFound,
    #[error("the booking is no longer what the caller read")]
    StaleEtag,
    #[error("a booking that is {status:?} is refused {change:?}: {refusal:?}")]
    Refused { change: BookingChange, status: BookingStatus, refusal: ChangeRefusal },
    #[error("something came between every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// A change before it is written.
pub struct Draft {
    pub change: BookingChange,
    /// The states from which it is allowed.
    pub allowed_from: Vec<String>,
    pub event_id: EventId,
    pub traceparent: Option<String>,
    pub destinations: Vec<String>,
    pub now: DateTime<Utc>,
}

impl Core {
    /// Everything about a change that is known before its statement runs.
    pub(crate) fn draft_of(&self, change: BookingChange) -> Draft {
        Draft {
            change,
            allowed_from: change.allowed_from().iter().map(|status| status.as_column().to_owned()).collect(),
            event_id: EventId::generate(),
            traceparent: telemetry::current_traceparent(),
            // Which bookings conversation-service hears of, the statements say.
            destinations: self.destinations(true),
            now: self.clock.now(),
        }
    }

    /// Runs the statement of a change, and tells the booking as it stands after it. It is safe to run twice: a
    /// statement changes nothing when its outcome stood before, or when its event is there.
    pub(crate) async fn change<'q, F>(
        &self,
        draft: &Draft,
        statement: impl Fn() -> Map<'q, Postgres, F, PgArguments>,
    ) -> Result<Booking, ChangeBookingError>
    where
        F: FnMut(PgRow) -> Result<ChangeAnswer, sqlx::Error> + Send,
    {
        for attempt in 1..=ATTEMPTS_MAX {
            let answer = match self.database.fetch_optional(&statement).await {
                Ok(answer) => answer.ok_or(ChangeBookingError::NotFound)?,
                Err(error) if attempt < ATTEMPTS_MAX && came_in_between(&error) => continue,
                // Only an offer takes its entry along, and an offer is pending.
                Err(error) if error.violates("waitlist_entries_wait_once") => {
                    let refusal = ChangeRefusal::AlreadyOffered;
                    let status = BookingStatus::Pending;
                    return Err(ChangeBookingError::Refused { change: draft.change, status, refusal });
                }
                Err(error) => return Err(error.into()),
            };
            match answer.outcome(draft.change)? {
                Outcome::Changed(row) => {
                    self.nudge_after(draft.change);
                    self.count_offer(&row, draft.now);
                    self.deliver(&row, Instant::now() + DELIVERY_TIME).await;
                    return Ok(row.open(&self.ring)?);
                }
                Outcome::Unchanged(row) => {
                    // An earlier run of this call may have changed it just now, and its answer was lost.
                    self.nudge_after(draft.change);
                    return Ok(row.open(&self.ring)?);
                }
                Outcome::StaleEtag => return Err(ChangeBookingError::StaleEtag),
                Outcome::Refused { status, refusal } => {
                    return Err(ChangeBookingError::Refused { change: draft.change, status, refusal });
                }
                Outcome::Contended => {}
            }
        }
        Err(ChangeBookingError::Contended)
    }

    /// Counts what became of an offer, when the change that was made now decided it.
    pub(crate) fn count_offer(&self, row: &BookingRow, now: DateTime<Utc>) {
        if row.waitlist_entry_id.is_none() {
            return;
        }
        if row.confirmed_at == Some(now) {
            self.metrics.waitlist(WaitlistChange::Accepted, 1);
        } else if row.cancelled_at == Some(now) && row.confirmed_at.is_none() {
            self.metrics.waitlist(WaitlistChange::Left, 1);
        }
    }

    /// Wakes those who have work after a change.
    fn nudge_after(&self, change: BookingChange) {
        self.live.nudge();
        if matches!(change, BookingChange::Cancel | BookingChange::Reschedule) {
            self.waitlist.seats_came_free();
        }
    }
}

/// Whether the statement may have failed, and written nothing, only because another came in between. A new
/// run sees what the other did.
///
/// A statement waits for the rows it changes, and goes on from what they are then. But before PostgreSQL
/// finds out that a row has a newer version, it makes the new row from the old one and checks it: stale
/// seats minus this party may be below nothing. So a violated check may be that of a row that would never
/// have been stored; one that stays is real.
///
/// Or an earlier run of the same statement came in between, whose answer was lost: its events have the ids of this
/// one's.
pub fn came_in_between(error: &DatabaseError) -> bool {
    const CHECK_VIOLATION: &str = "23514";
    const DEADLOCK_DETECTED: &str = "40P01";
    error.has_code(CHECK_VIOLATION) || error.has_code(DEADLOCK_DETECTED) || error.violates("booking_events_pkey")
}
