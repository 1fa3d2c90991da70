//! How a booking is changed: load, decide, commit.
//!
//! Concurrent changes are found by the booking's version when they are committed: of those that were decided by the same
//! version, one is committed. The others are stale, and are loaded and decided anew. Every attempt that fails so has
//! seen another change succeed, so that somebody always gets on.

use std::time::Duration;

use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};
use tokio::time::Instant;

use super::{
    booking::{Booking, OpenBooking},
    decision::{Decision, Occasion},
    fold::FoldFault,
    load::{Loaded, Wanted},
};
use crate::{
    bookings::Bookings,
    bookings::metrics::WaitlistChange,
    domain::{BookingChange, BookingId, BookingStatus, ChangeRefusal, Etag},
};

/// Budget of an inline delivery; it uses at most half.
pub const DELIVERY_TIME: Duration = Duration::from_secs(2);
/// How often a change is decided. A call that loses every time meets as many others that succeeded.
pub const ATTEMPTS_MAX: usize = 64;

/// Which booking is to change, and at which version the caller has read it.
#[derive(Debug, Clone, Copy)]
pub struct BookingTarget {
    pub booking_id: BookingId,
    pub etag: Option<Etag>,
    /// Decide and answer, but write nothing.
    pub validate_only: bool,
}

/// Why a change comes to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChange {
    /// The booking has come to that before.
    Unchanged,
    StaleEtag,
    Refused(ChangeRefusal),
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
    #[error("concurrent changes won every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// What an event cannot do to a booking is not allowed.
impl From<FoldFault> for NoChange {
    fn from(_: FoldFault) -> Self {
        Self::Refused(ChangeRefusal::NotAllowed)
    }
}

/// Whether a booking may be changed so, as its state and the caller's etag have it.
///
/// # Errors
/// [`NoChange`].
pub fn allow(booking: &Booking, etag: Option<Etag>, change: BookingChange) -> Result<(), NoChange> {
    if etag.is_some_and(|etag| etag.version() != booking.version) {
        return Err(NoChange::StaleEtag);
    }
    match booking.status.after(change) {
        Some(_) => Ok(()),
        None => Err(NoChange::Refused(change.refused_in(booking.status))),
    }
}

impl Bookings {
    /// Changes a booking as decided, and returns it as it stands then. With `validate_only` it is the booking as it
    /// would stand.
    pub(crate) async fn change(
        &self,
        change: BookingChange,
        target: &BookingTarget,
        occasion: &Occasion,
        wanted: Wanted<'_>,
        decide: impl Fn(&Loaded) -> Result<Decision, NoChange>,
    ) -> Result<OpenBooking, ChangeBookingError> {
        let wanted = Wanted { event_id: Some(occasion.event_ids[0].0), ..wanted };
        for _ in 0..ATTEMPTS_MAX {
            let loaded = self.load_one(target.booking_id, wanted).await?.ok_or(ChangeBookingError::NotFound)?;
            let status = loaded.booking.status;
            let refused = |refusal| ChangeBookingError::Refused { change, status, refusal };
            if loaded.is_done {
                self.follow_change(&loaded.booking, loaded.anybody_waits, occasion).await;
                return Ok(loaded.booking.open(&self.ring)?);
            }
            let decision = match decide(&loaded) {
                Ok(decision) => decision,
                Err(NoChange::Unchanged) => {
                    // An earlier run of this call may have changed it just now, and its answer was lost.
                    self.nudge_after(loaded.anybody_waits);
                    return Ok(loaded.booking.open(&self.ring)?);
                }
                Err(NoChange::StaleEtag) => return Err(ChangeBookingError::StaleEtag),
                Err(NoChange::Refused(refusal)) => return Err(refused(refusal)),
            };
            if target.validate_only {
                return Ok(decision.booking.open(&self.ring)?);
            }
            match self.commit(vec![decision]).await {
                Ok(committed) => {
                    if let Some(decision) = committed.into_iter().next() {
                        self.follow_change(&decision.booking, loaded.anybody_waits, occasion).await;
                        return Ok(decision.booking.open(&self.ring)?);
                    }
                }
                Err(error) if is_overtaken(&error) => {}
                // Only an offer takes its entry along.
                Err(error) if error.violates("waitlist_entries_wait_once") => {
                    return Err(refused(ChangeRefusal::AlreadyOffered));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeBookingError::Contended)
    }

    /// What follows a change that was committed by this call.
    async fn follow_change(&self, booking: &Booking, anybody_waits: bool, occasion: &Occasion) {
        self.nudge_after(anybody_waits);
        self.count_offer(booking, occasion);
        self.deliver(booking, Instant::now() + DELIVERY_TIME).await;
    }

    /// What follows money that moved.
    pub(crate) async fn follow_payment(&self, booking: &Booking, occasion: &Occasion) {
        self.live.nudge();
        self.count_offer(booking, occasion);
        self.deliver(booking, Instant::now() + DELIVERY_TIME).await;
    }

    /// Counts what became of an offer, when this change decided it.
    fn count_offer(&self, booking: &Booking, occasion: &Occasion) {
        if booking.waitlist_entry_id.is_none() {
            return;
        }
        if booking.confirmed_at == Some(occasion.at) {
            self.metrics.waitlist(WaitlistChange::Accepted, 1);
        } else if booking.cancelled_at == Some(occasion.at) && booking.confirmed_at.is_none() {
            self.metrics.waitlist(WaitlistChange::Left, 1);
        }
    }

    /// Wakes the workers that may have work after a change.
    fn nudge_after(&self, anybody_waits: bool) {
        self.live.nudge();
        if anybody_waits {
            self.freed_seats.offer();
        }
    }
}

/// Whether a commit failed, and wrote nothing, because of a concurrent one: loading again shows what that did. Ids that
/// are there already are those of an earlier run of the same commit, whose answer was lost.
pub fn is_overtaken(error: &DatabaseError) -> bool {
    const CHECK_VIOLATION: &str = "23514";
    const DEADLOCK_DETECTED: &str = "40P01";
    const OWN_IDS: [&str; 2] = ["booking_events_pkey", "booking_events_version_key"];
    error.has_code(CHECK_VIOLATION)
        || error.has_code(DEADLOCK_DETECTED)
        || OWN_IDS.iter().any(|constraint| error.violates(constraint))
}
