//! Queues of the bookings of one slot.
//!
//! Bookings of one slot wait for one another at its row, whatever we do. Where they wait makes a difference: in PostgreSQL
//! each waits on a connection, so that one hot slot would take the connections of all the others, and each commit wakes a
//! queue of backends. So only a few go on to the database at a time, one that works and one that is ready to follow; the
//! rest wait here, first come, first served. A call that would not get its turn in time does not wait.

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

/// Statements of this process on one slot at a time.
const AT_ONCE: u32 = 2;

/// The queues of the slots that are being booked now.
pub struct SlotQueues {
    queues: Mutex<HashMap<SlotKey, Arc<Queue>>>,
    waiting: UpDownCounter<i64>,
    wait_seconds: Histogram<f64>,
}

/// The queue of one slot.
struct Queue {
    turns: Arc<Semaphore>,
    waiting: AtomicU32,
    turn_time: Mutex<MeanTime>,
}

/// A call's turn at a slot. The next call's begins when this is dropped.
pub struct Turn<'a> {
    // Dropped before the membership, which then sees whether another call is in the queue.
    _permit: Option<OwnedSemaphorePermit>,
    membership: Membership<'a>,
    began: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.membership.queue.turn_time().add(self.began.elapsed());
    }
}

/// A call that is in a queue, waiting or at its turn. The last to leave removes the queue.
struct Membership<'a> {
    queues: &'a SlotQueues,
    slot: SlotKey,
    queue: Arc<Queue>,
}

/// A call that waits; counted until this is dropped.
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
            .with_description("Bookings that wait for their turn at a slot that others are booking.")
            .build();
        waiting.add(0, &[]);
        let wait_seconds = meter
            .f64_histogram("teppan.slot_queue.wait")
            .with_unit("s")
            .with_description("How long bookings waited for their turn at a slot, of those that had to.")
            .with_boundaries(buckets::CALLS.to_vec())
            .build();
        Self { queues: Mutex::default(), waiting, wait_seconds }
    }
}

impl SlotQueues {
    /// Waits for a turn at the slot, for as long as that leaves the call time to use it.
    ///
    /// # Errors
    /// `Overloaded`, when no turn came in time; immediately, when the expected wait is already too long.
    pub async fn turn(&self, slot: SlotKey) -> Result<Turn<'_>, DatabaseError> {
        let membership = self.join(slot);
        let permit = match Arc::clone(&membership.queue.turns).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => membership.wait(postgres::time_left()).await?,
        };
        Ok(Turn { _permit: permit, membership, began: Instant::now() })
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
            turns: Arc::new(Semaphore::new(AT_ONCE as usize)),
            waiting: AtomicU32::new(0),
            turn_time: Mutex::default(),
        }
    }
}

impl Queue {
    /// How long another caller would wait. Zero while too little is known of this slot: others may be quicker or slower.
    fn expected_wait(&self) -> Duration {
        let turns_before = self.waiting.load(Relaxed) + 1;
        self.turn_time().mean().unwrap_or_default() * turns_before / AT_ONCE
    }

    /// How long a caller with so much time may wait: some turns take twice as long as the mean.
    fn patience(&self, left: Duration) -> Duration {
        let own_turn = self.turn_time().mean().map_or(left / 16, |mean| mean * 2);
        left.saturating_sub(own_turn)
    }

    fn turn_time(&self) -> MutexGuard<'_, MeanTime> {
        self.turn_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership<'_> {
    async fn wait(&self, left: Duration) -> Result<Option<OwnedSemaphorePermit>, DatabaseError> {
        let patience = self.queue.patience(left);
        if self.queue.expected_wait() > patience {
            return Err(DatabaseError::Overloaded);
        }
        let _waiting = Waiting::begin(self);
        let permit = timeout(patience, Arc::clone(&self.queue.turns).acquire_owned()).await;
        // A queue is never closed, so that there always is a permit in the end.
        permit.map(Result::ok).map_err(|_| DatabaseError::Overloaded)
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        // Nobody can join while this lock is held: the map's and our own are the last two.
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

    /// A turn of a call with so many seconds.
    async fn turn<'a>(queues: &'a SlotQueues, time: &str, seconds: u64) -> Result<Turn<'a>, DatabaseError> {
        postgres::in_time(Moment::now() + Duration::from_secs(seconds), queues.turn(slot(time))).await
    }

    /// The turns at 18:00, which last 100 ms as far as the queue knows, are taken.
    async fn busy(queues: &SlotQueues) -> [Turn<'_>; 2] {
        let turns = [turn(queues, "18:00", 1).await.unwrap(), turn(queues, "18:00", 1).await.unwrap()];
        (0..100).for_each(|_| turns[0].membership.queue.turn_time().add(Duration::from_millis(100)));
        turns
    }

    #[tokio::test]
    async fn only_a_few_are_on_a_slot_at_a_time_and_no_queue_is_left() {
        let (queues, on_it, most) = (SlotQueues::default(), AtomicU32::new(0), AtomicU32::new(0));
        let visits = (0..50).map(|_| async {
            let _turn = queues.turn(slot("18:00")).await.unwrap();
            most.fetch_max(on_it.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            on_it.fetch_sub(1, SeqCst);
        });
        join_all(visits).await;
        assert_eq!(most.into_inner(), AT_ONCE);
        assert!(queues.lock().is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_waiting_leaves_the_queue_to_the_others() {
        let queues = SlotQueues::default();
        let turns = busy(&queues).await;
        {
            let mut gone = pin!(turn(&queues, "18:00", 10));
            assert!(poll!(&mut gone).is_pending());
            assert_eq!(turns[0].membership.queue.waiting.load(Relaxed), 1);
        }
        assert_eq!(turns[0].membership.queue.waiting.load(Relaxed), 0);
        drop(turns);
        turn(&queues, "18:00", 1).await.unwrap();
        assert!(queues.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gets_no_turn_while_there_is_time_to_use_it_is_refused() {
        let queues = SlotQueues::default();
        let turns = busy(&queues).await;
        let began = Moment::now();
        let refused = turn(&queues, "18:00", 2).await;
        assert!(matches!(refused, Err(DatabaseError::Overloaded)));
        assert_eq!(began.elapsed().as_millis(), 1800);
        assert_eq!(turns[0].membership.queue.waiting.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn a_caller_that_would_not_get_a_turn_in_time_is_refused_at_once_and_others_wait() {
        let queues = SlotQueues::default();
        let turns = busy(&queues).await;
        let mut waiting = join_all((0..40).map(|_| async { turn(&queues, "18:00", 10).await.map(drop) }));
        assert!(poll!(&mut waiting).is_pending());
        // Another one waits for 41 turns of 100 ms, two at a time: 2.05 s.
        assert!(matches!(poll!(pin!(turn(&queues, "18:00", 2))), Ready(Err(DatabaseError::Overloaded))));
        assert!(poll!(pin!(turn(&queues, "18:00", 3))).is_pending());
        drop(turns);
        assert!(waiting.await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_slow_slot_refuses_nobody_at_another_one() {
        let queues = SlotQueues::default();
        let _slow = busy(&queues).await;
        let _both = (turn(&queues, "18:30", 1).await.unwrap(), turn(&queues, "18:30", 1).await.unwrap());
        assert!(poll!(pin!(turn(&queues, "18:30", 1))).is_pending());
    }
}
