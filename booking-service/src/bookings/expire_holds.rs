use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::events::v1 as wire,
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use uuid::Uuid;

use super::{
    commit::CommittedBatch,
    decision::{Decision, Occasion},
    event_data::EventData,
    load::Loaded,
    metrics::WaitlistChange,
};
use crate::{bookings::Bookings, domain::OutboxDestination};

/// The most bookings that one run expires.
const BATCH_MAX: usize = 64;

/// Expires a booking; `None` if its hold has not expired, or a concurrent change has ended the hold.
pub fn decide(loaded: &Loaded, occasion: &Occasion) -> Option<Decision> {
    let booking = &loaded.booking;
    booking.hold_expires_at.filter(|at| *at <= occasion.at)?;
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    // The booking loses its seats, so everything paid is owed.
    let refund_due_cents = booking.paid_without_extras_cents();
    let expired = wire::BookingExpired { refund_due_cents, ..Default::default() };
    decision.apply(EventData::BookingExpired(expired)).ok()?;
    Some(decision)
}

/// The last hold that the current sweep has processed. The next batch begins after it, so that holds which cannot be
/// expired do not delay the others; the next sweep tries them again.
#[derive(Debug, Clone, Copy, Default)]
pub struct SweepPosition {
    expires_at: DateTime<Utc>,
    booking_id: Uuid,
}

impl Bookings {
    /// Frees the seats of bookings with an expired hold: the next batch after `after`. Returns the position at which
    /// the sweep continues, or `None` at its end. A booking that changes concurrently is left to the next sweep.
    ///
    /// # Errors
    /// [`DatabaseError`]. A later run expires the holds that remain.
    async fn expire_holds(
        &self,
        now: DateTime<Utc>,
        after: SweepPosition,
    ) -> Result<(Batch, Option<SweepPosition>), DatabaseError> {
        let limit = i64::try_from(BATCH_MAX).unwrap_or(i64::MAX);
        let due = || sqlx::query_file!("src/bookings/due_holds.sql", now, after.expires_at, after.booking_id, limit);
        let due = self.database.fetch_all(due).await?;
        let Some(last) = due.last() else { return Ok((Batch::default(), None)) };
        let next = SweepPosition { expires_at: last.hold_expires_at, booking_id: last.booking_id };
        let next = (due.len() == BATCH_MAX).then_some(next);
        let lag = due.first().and_then(|first| (now - first.hold_expires_at).to_std().ok()).unwrap_or_default();
        let due: Vec<Uuid> = due.into_iter().map(|row| row.booking_id).collect();
        let (loaded, unreadable) = self.load_readable(&due).await?;
        let has_waiting_entries = loaded.iter().any(|it| it.has_waiting_entries);
        let decisions = loaded.iter().filter_map(|it| decide(it, &Occasion::of_worker(now))).collect();
        let CommittedBatch { committed: expired, failed, .. } = self.commit_batch(decisions).await?;
        if !expired.is_empty() {
            self.live.nudge();
            if has_waiting_entries {
                self.freed_seats.wake();
            }
            self.outbox.nudge(OutboxDestination::EventStream);
        }
        let lapsed = expired.iter().filter(|it| it.booking.waitlist_entry_id.is_some()).count();
        let done = u64::try_from(expired.len()).unwrap_or(0);
        self.metrics.holds_expired(done);
        self.metrics.waitlist(WaitlistChange::Lapsed, u64::try_from(lapsed).unwrap_or(0));
        Ok((Batch { done, failed: failed + unreadable, more: next.is_some(), lag }, next))
    }
}

/// Frees the seats of bookings with an expired hold.
pub struct HoldExpiry {
    bookings: Arc<Bookings>,
    position: Mutex<SweepPosition>,
}

impl HoldExpiry {
    pub fn new(bookings: Arc<Bookings>) -> Self {
        Self { bookings, position: Mutex::default() }
    }
}

impl Job for HoldExpiry {
    type Error = DatabaseError;
    const NAME: &'static str = "hold-expiry";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let after = *self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let (batch, next) = self.bookings.expire_holds(self.bookings.clock.now(), after).await?;
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = next.unwrap_or_default();
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{assert_sound, booking_in_status, confirmed_booking, events, occasion, pending_booking},
        *,
    };
    use crate::domain::BookingStatus;

    #[test]
    fn an_expired_hold_frees_its_seats_and_everything_paid_is_owed() {
        let mut loaded = pending_booking();
        loaded.booking.paid_cents = 1000;
        let decision = decide(&loaded, &occasion(120)).expect("expired");
        assert_sound(Some(&loaded.booking), &decision);
        assert_eq!((decision.booking.status, decision.booking.refund_due_cents), (BookingStatus::Expired, 1000));
        let [EventData::BookingExpired(event)] = &events(&decision)[..] else { panic!("one event") };
        assert_eq!((event.paid_cents, event.refund_due_cents, event.party_size), (1000, 1000, 2));
        assert!(!decision.events[0].concerns_conversation);
    }

    #[test]
    fn a_booking_is_not_expired_while_its_hold_runs_or_after_it_has_ended() {
        assert!(decide(&pending_booking(), &occasion(119)).is_none());
        assert!(decide(&confirmed_booking(), &occasion(120)).is_none());
        let mut ended = booking_in_status(BookingStatus::Cancelled);
        ended.booking.hold_expires_at = pending_booking().booking.hold_expires_at;
        assert!(decide(&ended, &occasion(120)).is_none());
    }
}
