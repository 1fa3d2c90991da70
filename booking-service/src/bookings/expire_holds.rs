use std::sync::Arc;

use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::events::v1 as wire,
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use uuid::Uuid;

use super::{
    decision::{Decision, Occasion},
    event_data::EventData,
    load::{Loaded, Wanted},
    metrics::WaitlistChange,
};
use crate::{bookings::Bookings, domain::OutboxDestination};

/// The most bookings that one run expires.
const BATCH_MAX: usize = 64;

/// `None` where the hold has not run out, or a concurrent change has ended it.
pub fn decide(loaded: &Loaded, occasion: &Occasion) -> Option<Decision> {
    let booking = &loaded.booking;
    booking.hold_expires_at.filter(|at| *at <= occasion.at)?;
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    // The seats are gone: whatever was paid towards them is owed.
    let refund_due_cents = booking.paid_cents;
    let expired = wire::BookingExpired { refund_due_cents, ..Default::default() };
    decision.happen(EventData::BookingExpired(expired)).ok()?;
    Some(decision)
}

impl Bookings {
    /// Frees the seats of bookings whose hold has run out, a bounded number of them. A booking that changes
    /// concurrently is left to the next run.
    ///
    /// # Errors
    /// When the database gives no answer, as [`DatabaseError`] says. What was left undone is found again.
    async fn expire_holds(&self, now: DateTime<Utc>) -> Result<Batch, DatabaseError> {
        let limit = i64::try_from(BATCH_MAX).unwrap_or(i64::MAX);
        let due = || sqlx::query_file!("src/bookings/due_holds.sql", now, limit);
        let due = self.database.fetch_all(due).await?;
        let due: Vec<Uuid> = due.into_iter().map(|row| row.booking_id).collect();
        if due.is_empty() {
            return Ok(Batch::default());
        }
        let loaded = self.load(&due, Wanted::default()).await?;
        let first_due = loaded.iter().filter_map(|it| it.booking.hold_expires_at).min();
        let lag = first_due.and_then(|due| (now - due).to_std().ok()).unwrap_or_default();
        let anybody_waits = loaded.iter().any(|it| it.anybody_waits);
        let decisions = loaded.iter().filter_map(|it| decide(it, &Occasion::of_worker(now))).collect();
        let expired = self.commit_batch(decisions).await?;
        if !expired.is_empty() {
            self.live.nudge();
            if anybody_waits {
                self.freed_seats.offer();
            }
            self.outbox.nudge(OutboxDestination::EventStream);
        }
        let lapsed = expired.iter().filter(|it| it.booking.waitlist_entry_id.is_some()).count();
        self.metrics.holds_expired(u64::try_from(expired.len()).unwrap_or(0));
        self.metrics.waitlist(WaitlistChange::Lapsed, u64::try_from(lapsed).unwrap_or(0));
        let done = u64::try_from(expired.len()).unwrap_or(0);
        Ok(Batch { done, failed: 0, more: due.len() == BATCH_MAX, lag })
    }
}

/// Frees the seats of bookings whose hold has run out.
pub struct HoldExpiry(pub Arc<Bookings>);

impl Job for HoldExpiry {
    type Error = DatabaseError;
    const NAME: &'static str = "hold-expiry";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.expire_holds(self.0.clock.now()).await
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{assert_sound, events, firm, in_status, occasion, pending},
        *,
    };
    use crate::domain::BookingStatus;

    #[test]
    fn a_hold_that_has_run_out_frees_its_seats_and_everything_paid_is_owed() {
        let mut loaded = pending();
        loaded.booking.paid_cents = 1000;
        let decision = decide(&loaded, &occasion(120)).expect("expired");
        assert_sound(Some(&loaded.booking), &decision);
        assert_eq!((decision.booking.status, decision.booking.refund_due_cents), (BookingStatus::Expired, 1000));
        let [EventData::BookingExpired(event)] = &events(&decision)[..] else { panic!("one event") };
        assert_eq!((event.paid_cents, event.refund_due_cents, event.party_size), (1000, 1000, 2));
        assert!(!decision.events[0].concerns_conversation);
    }

    #[test]
    fn a_hold_that_runs_or_has_ended_stays() {
        assert!(decide(&pending(), &occasion(119)).is_none());
        assert!(decide(&firm(), &occasion(120)).is_none());
        let mut ended = in_status(BookingStatus::Cancelled);
        ended.booking.hold_expires_at = pending().booking.hold_expires_at;
        assert!(decide(&ended, &occasion(120)).is_none());
    }
}
