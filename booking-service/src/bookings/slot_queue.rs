//! A queue for each slot that is being booked.
//!
//! Bookings of one slot wait for one another at its row in any case. If they waited in PostgreSQL, each would use a
//! connection, one hot slot would use the connections that other slots need, and each commit would wake many backends.
//! So only a few calls for one slot use the database at a time: one that works, and one that is ready to follow. The
//! others wait here, in the order of their arrival. A call that would not get a permit in time is refused immediately.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry::{
    global,
    metrics::{Histogram, UpDownCounter},
};
use teppan_shared::{
    mean_time::MeanTime,
    postgres::{self, DatabaseError},
    telemetry::buckets,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::domain::SlotKey;

/// Concurrent statements of this process on one slot.
const PERMITS: u32 = 2;
/// Many times what a statement on a slot takes, also if the database is far away and a connection must be opened first.
const STUCK: Duration = Duration::from_secs(1);

/// The queues of the slots that are being booked now.
pub struct SlotQueues {
    queues: Mutex<HashMap<SlotKey, Arc<Queue>>>,
    waiting: UpDownCounter<i64>,
    wait_seconds: Histogram<f64>,
}

/// The queue of one slot.
struct Queue {
    permits: Arc<Semaphore>,
    waiting: AtomicU32,
    /// The mean time for which a call holds a permit.
    hold_time: Mutex<MeanTime>,
    /// Since when each of the permits has been held.
    held_since: Mutex<Vec<Instant>>,
}

/// A call's permit to run a statement on a slot. Dropping it gives the permit to the next call.
pub struct SlotPermit<'a> {
    // Declared first, so it is dropped before the membership, which then sees whether another call is in the queue.
    _permit: Option<OwnedSemaphorePermit>,
    membership: Membership<'a>,
    began: Instant,
}

impl<'a> SlotPermit<'a> {
    fn new(permit: Option<OwnedSemaphorePermit>, membership: Membership<'a>) -> Self {
        let began = Instant::now();
        membership.queue.held_since().push(began);
        Self { _permit: permit, membership, began }
    }
}

impl Drop for SlotPermit<'_> {
    fn drop(&mut self) {
        let queue = &self.membership.queue;
        queue.hold_time().add(self.began.elapsed());
        let mut since = queue.held_since();
        if let Some(place) = since.iter().position(|other| *other == self.began) {
            since.swap_remove(place);
        }
    }
}

/// A call in a queue, waiting or with a permit. The last call that leaves removes the queue.
struct Membership<'a> {
    queues: &'a SlotQueues,
    slot: SlotKey,
    queue: Arc<Queue>,
}

/// A waiting call; counted until this is dropped.
struct Waiting<'a> {
    membership: &'a Membership<'a>,
    began: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(membership: &'a Membership<'a>) -> Self {
        membership.queue.waiting.fetch_add(1, Relaxed);
        membership.queues.waiting.add(1, &[]);
        Self { membership, began: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Membership { queues, queue, .. } = self.membership;
        queue.waiting.fetch_sub(1, Relaxed);
        queues.waiting.add(-1, &[]);
        queues.wait_seconds.record(self.began.elapsed().as_secs_f64(), &[]);
    }
}

impl Default for SlotQueues {
    fn default() -> Self {
        let meter = global::meter("teppan");
        let waiting = meter
            .i64_up_down_counter("teppan.slot_queue.waiting")
            .with_description("Bookings that wait in the queue of a slot.")
            .build();
        waiting.add(0, &[]);
        let wait_seconds = meter
            .f64_histogram("teppan.slot_queue.wait")
            .with_unit("s")
            .with_description(
                "How long bookings waited in the queue of a slot; bookings that did not wait are not counted.",
            )
            .with_boundaries(buckets::CALLS.to_vec())
            .build();
        Self { queues: Mutex::default(), waiting, wait_seconds }
    }
}

impl SlotQueues {
    /// Waits for a permit for the slot, as long as the call then still has time to use it.
    ///
    /// # Errors
    /// `Overloaded`, when no permit became free in time; immediately, when the expected wait is already too long.
    pub async fn permit(&self, slot: SlotKey) -> Result<SlotPermit<'_>, DatabaseError> {
        let membership = self.join(slot);
        let permit = match Arc::clone(&membership.queue.permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => membership.wait(postgres::time_left()).await?,
        };
        Ok(SlotPermit::new(permit, membership))
    }

    /// A permit for the slot if one is free now.
    pub fn try_permit(&self, slot: SlotKey) -> Option<SlotPermit<'_>> {
        let membership = self.join(slot);
        let permit = Arc::clone(&membership.queue.permits).try_acquire_owned().ok()?;
        Some(SlotPermit::new(Some(permit), membership))
    }

    /// Whether all permits of the slot have been held for so long that something must hold its lock.
    pub fn is_stuck(&self, slot: SlotKey) -> bool {
        let queues = self.lock();
        queues.get(&slot).is_some_and(|queue| {
            let since = queue.held_since();
            since.len() >= PERMITS as usize && since.iter().all(|since| since.elapsed() > STUCK)
        })
    }

    fn join(&self, slot: SlotKey) -> Membership<'_> {
        let queue = Arc::clone(self.lock().entry(slot).or_default());
        Membership { queues: self, slot, queue }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(PERMITS as usize)),
            waiting: AtomicU32::new(0),
            hold_time: Mutex::default(),
            held_since: Mutex::default(),
        }
    }
}

impl Queue {
    /// How long another call would wait. Zero while too few calls of this slot were measured.
    fn expected_wait(&self) -> Duration {
        let calls_before = self.waiting.load(Relaxed) + 1;
        self.hold_time().mean().unwrap_or_default() * calls_before / PERMITS
    }

    /// The longest wait of a call that has this much time left. It keeps twice the mean hold time for its own
    /// statement.
    fn longest_wait(&self, left: Duration) -> Duration {
        let own_time = self.hold_time().mean().map_or(left / 16, |mean| mean * 2);
        left.saturating_sub(own_time)
    }

    fn held_since(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.held_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold_time(&self) -> MutexGuard<'_, MeanTime> {
        self.hold_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership<'_> {
    async fn wait(&self, left: Duration) -> Result<Option<OwnedSemaphorePermit>, DatabaseError> {
        let longest_wait = self.queue.longest_wait(left);
        if self.queue.expected_wait() > longest_wait {
            return Err(DatabaseError::Overloaded);
        }
        let _waiting = Waiting::begin(self);
        let permit = timeout(longest_wait, Arc::clone(&self.queue.permits).acquire_owned()).await;
        // The semaphore is never closed, so `Result::ok` is always `Some`.
        permit.map(Result::ok).map_err(|_| DatabaseError::Overloaded)
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        // No call can join while this lock is held. Two references mean that only the map and this call have the queue.
        if Arc::strong_count(&self.queue) == 2 {
            queues.remove(&self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::atomic::Ordering::SeqCst, task::Poll::Ready};

    use futures::{future::join_all, poll};
    use tokio::time::Instant as Moment;

    use super::*;
    use crate::domain::{VenueId, parse_date, parse_start_time};

    fn slot(time: &str) -> SlotKey {
        SlotKey {
            venue_id: VenueId(uuid::Uuid::nil()),
            date: parse_date("2026-12-05").unwrap(),
            start_time: parse_start_time(time).unwrap(),
        }
    }

    /// Requests a permit for a call that has this many seconds left.
    async fn permit<'a>(queues: &'a SlotQueues, time: &str, seconds: u64) -> Result<SlotPermit<'a>, DatabaseError> {
        postgres::in_time(Moment::now() + Duration::from_secs(seconds), queues.permit(slot(time))).await
    }

    /// Takes all permits at 18:00, with a mean hold time of 100 ms.
    async fn take_all_permits(queues: &SlotQueues) -> [SlotPermit<'_>; 2] {
        let permits = [permit(queues, "18:00", 1).await.unwrap(), permit(queues, "18:00", 1).await.unwrap()];
        (0..100).for_each(|_| permits[0].membership.queue.hold_time().add(Duration::from_millis(100)));
        permits
    }

    #[tokio::test]
    async fn only_two_calls_at_a_time_hold_a_permit_of_a_slot_and_an_empty_queue_is_removed() {
        let (queues, holders, most) = (SlotQueues::default(), AtomicU32::new(0), AtomicU32::new(0));
        let calls = (0..50).map(|_| async {
            let _permit = queues.permit(slot("18:00")).await.unwrap();
            most.fetch_max(holders.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            holders.fetch_sub(1, SeqCst);
        });
        join_all(calls).await;
        assert_eq!(most.into_inner(), PERMITS);
        assert!(queues.lock().is_empty());
    }

    #[tokio::test]
    async fn a_call_that_is_cancelled_while_it_waits_leaves_the_queue() {
        let queues = SlotQueues::default();
        let permits = take_all_permits(&queues).await;
        {
            let mut cancelled = pin!(permit(&queues, "18:00", 10));
            assert!(poll!(&mut cancelled).is_pending());
            assert_eq!(permits[0].membership.queue.waiting.load(Relaxed), 1);
        }
        assert_eq!(permits[0].membership.queue.waiting.load(Relaxed), 0);
        drop(permits);
        permit(&queues, "18:00", 1).await.unwrap();
        assert!(queues.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_gets_no_permit_while_it_has_time_to_use_one_is_refused() {
        let queues = SlotQueues::default();
        let permits = take_all_permits(&queues).await;
        let began = Moment::now();
        let refused = permit(&queues, "18:00", 2).await;
        assert!(matches!(refused, Err(DatabaseError::Overloaded)));
        assert_eq!(began.elapsed().as_millis(), 1800);
        assert_eq!(permits[0].membership.queue.waiting.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn a_call_whose_expected_wait_is_too_long_is_refused_immediately_and_the_others_wait() {
        let queues = SlotQueues::default();
        let permits = take_all_permits(&queues).await;
        let mut waiting = join_all((0..40).map(|_| async { permit(&queues, "18:00", 10).await.map(drop) }));
        assert!(poll!(&mut waiting).is_pending());
        // Another call waits for 41 calls of 100 ms, two at a time: 2.05 s.
        assert!(matches!(poll!(pin!(permit(&queues, "18:00", 2))), Ready(Err(DatabaseError::Overloaded))));
        assert!(poll!(pin!(permit(&queues, "18:00", 3))).is_pending());
        drop(permits);
        assert!(waiting.await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_slow_slot_does_not_affect_the_permits_of_another_slot() {
        let queues = SlotQueues::default();
        let _slow = take_all_permits(&queues).await;
        let _both = (permit(&queues, "18:30", 1).await.unwrap(), permit(&queues, "18:30", 1).await.unwrap());
        assert!(poll!(pin!(permit(&queues, "18:30", 1))).is_pending());
    }
}
