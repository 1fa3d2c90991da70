//! How a booking is changed: load, decide, commit.
//!
//! The commit detects concurrent changes by the booking's version. Of several changes that were decided from the same
//! version, one is committed. The others are stale, and are loaded and decided again. An attempt is stale only because
//! another change succeeded, so some change always makes progress.

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
    domain::{BookingChange, BookingId, BookingStatus, ChangeRefusal, Etag, SlotKey, Terms},
};

/// Budget of an inline delivery; it uses at most half.
pub const DELIVERY_TIME: Duration = Duration::from_secs(2);
/// The most attempts of a change. Each lost attempt means that a concurrent change succeeded.
pub const ATTEMPTS_MAX: usize = 64;

/// The booking to change, and the version that the caller has read.
#[derive(Debug, Clone, Copy)]
pub struct BookingTarget {
    pub booking_id: BookingId,
    pub etag: Option<Etag>,
    /// Decide the change and answer, but write nothing.
    pub validate_only: bool,
}

/// Why there is nothing to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChange {
    /// The booking is already in the requested state.
    Unchanged,
    StaleEtag,
    Refused(ChangeRefusal),
    /// The sealed details, from which the change is decided, cannot be read.
    Corrupted(Corrupted),
}

/// The seats of a booking whose change was refused, and the terms by which other seats would be priced; `None`: the
/// venue's.
#[derive(Debug, Clone, Copy)]
pub struct HeldSeats {
    pub slot: SlotKey,
    pub party_size: i32,
    pub terms: Option<Terms>,
}

/// Why a booking was not changed. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
/// `Corrupted` is also the answer when the booking was changed but its special requests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangeBookingError {
    #[error("there is no such booking")]
    NotFound,
    #[error("the booking has changed since the caller read it")]
    StaleEtag,
    #[error("{change:?} of a booking in status {status:?} is refused: {refusal:?}")]
    Refused { change: BookingChange, status: BookingStatus, held: HeldSeats, refusal: ChangeRefusal },
    #[error("the booking changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// A change is not allowed if its event cannot happen to the booking.
impl From<FoldFault> for NoChange {
    fn from(_: FoldFault) -> Self {
        Self::Refused(ChangeRefusal::NotAllowed)
    }
}

/// Checks a change against the booking's status and the caller's etag.
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
    /// Changes a booking and returns it after the change. With `validate_only` nothing is written, and the booking is
    /// returned as it would be.
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
            let Booking { party_size, terms, .. } = &loaded.booking;
            let terms = terms.as_deref().copied();
            let held = HeldSeats { slot: loaded.booking.slot(), party_size: *party_size, terms };
            let refused = |refusal| ChangeBookingError::Refused { change, status, held, refusal };
            if loaded.is_done {
                self.follow_change(&loaded.booking, loaded.has_waiting_entries, occasion).await;
                return Ok(loaded.booking.open(&self.ring)?);
            }
            let decision = match decide(&loaded) {
                Ok(decision) => decision,
                Err(NoChange::Unchanged) => {
                    // An earlier run of this call may have made the change, and its answer was lost.
                    self.nudge_after(loaded.has_waiting_entries);
                    return Ok(loaded.booking.open(&self.ring)?);
                }
                Err(NoChange::StaleEtag) => return Err(ChangeBookingError::StaleEtag),
                Err(NoChange::Refused(refusal)) => return Err(refused(refusal)),
                Err(NoChange::Corrupted(error)) => return Err(error.into()),
            };
            if target.validate_only {
                return Ok(decision.booking.open(&self.ring)?);
            }
            match self.commit(vec![decision]).await {
                Ok(committed) => {
                    if let Some(decision) = committed.into_iter().next() {
                        self.follow_change(&decision.booking, loaded.has_waiting_entries, occasion).await;
                        return Ok(decision.booking.open(&self.ring)?);
                    }
                }
                Err(error) if is_overtaken(&error) => {}
                // Moving an offered booking also moves its waitlist entry.
                Err(error) if error.violates("waitlist_entries_wait_once") => {
                    return Err(refused(ChangeRefusal::AlreadyOffered));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeBookingError::Contended)
    }

    /// Nudges the workers, counts the metrics and delivers the messages after this call has committed a change.
    async fn follow_change(&self, booking: &Booking, has_waiting_entries: bool, occasion: &Occasion) {
        self.nudge_after(has_waiting_entries);
        self.count_offer(booking, occasion);
        self.deliver(booking, Instant::now() + DELIVERY_TIME).await;
    }

    /// Nudges the readers, counts the metrics and delivers the messages after money has moved.
    pub(crate) async fn follow_payment(&self, booking: &Booking, occasion: &Occasion) {
        self.live.nudge();
        self.count_offer(booking, occasion);
        self.deliver(booking, Instant::now() + DELIVERY_TIME).await;
    }

    /// Counts an offer that this change accepted or cancelled.
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
    fn nudge_after(&self, has_waiting_entries: bool) {
        self.live.nudge();
        if has_waiting_entries {
            self.freed_seats.wake();
        }
    }
}

/// Whether a commit failed, and wrote nothing, because of a concurrent commit. Loading again shows the other change.
///
/// PostgreSQL may check the capacity of a slot on an older version than the locked one. Ids that exist already were
/// written by an earlier run of the same commit, whose answer was lost.
pub fn is_overtaken(error: &DatabaseError) -> bool {
    const CONSTRAINTS: [&str; 5] = [
        "slot_not_oversold",
        "area_not_oversold",
        "area_days_venue_id_area_fkey",
        "booking_events_pkey",
        "booking_events_version_key",
    ];
    is_deadlock(error) || CONSTRAINTS.iter().any(|constraint| error.violates(constraint))
}

/// Whether PostgreSQL ended the statement, which wrote nothing, because of a deadlock. It can be run again.
pub fn is_deadlock(error: &DatabaseError) -> bool {
    const DEADLOCK_DETECTED: &str = "40P01";
    error.has_code(DEADLOCK_DETECTED)
}
