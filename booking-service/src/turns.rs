//! Who may try a slot next.
//!
//! Bookings of one slot wait for one another at its row, whatever we do. Where they wait makes a
//! difference: in PostgreSQL each waits on a connection, so that one slot that everybody wants would
//! take the connections of all the others, and each commit wakes a queue of backends. So only a few
//! go on to the database at a time, one that works and one that is ready to follow; the rest wait
//! here, first come, first served.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use opentelemetry::{
    global,
    metrics::{Histogram, UpDownCounter},
};
use teppan_shared::telemetry::buckets;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::SlotKey;

/// Statements of this process on one slot at a time.
const AT_ONCE: usize = 2;

/// The queues of the slots that are being booked now.
pub struct Turns {
    queues: Mutex<HashMap<SlotKey, Arc<Semaphore>>>,
    waiting: UpDownCounter<i64>,
    wait_seconds: Histogram<f64>,
}

/// A turn on one slot; the next one's begins when it is dropped.
pub struct Turn<'a> {
    // Dropped before the place, which then sees whether anybody else is in the queue.
    _permit: Option<OwnedSemaphorePermit>,
    _place: Place<'a>,
}

/// Somebody in a queue, who is counted until this is dropped.
struct Waiting<'a> {
    turns: &'a Turns,
    began: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.waiting.add(-1, &[]);
        self.turns.wait_seconds.record(self.began.elapsed().as_secs_f64(), &[]);
    }
}

impl Default for Turns {
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

impl Turns {
    /// Waits for a turn.
    pub async fn take(&self, slot: SlotKey) -> Turn<'_> {
        let queue = Arc::clone(self.lock().entry(slot).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))));
        let place = Place { turns: self, slot, queue };
        let permit = if let Ok(permit) = Arc::clone(&place.queue).try_acquire_owned() {
            Some(permit)
        } else {
            let _waiting = self.wait();
            // A queue is never closed, so that there always is a permit in the end.
            Arc::clone(&place.queue).acquire_owned().await.ok()
        };
        Turn { _permit: permit, _place: place }
    }

    fn wait(&self) -> Waiting<'_> {
        self.waiting.add(1, &[]);
        Waiting { turns: self, began: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Semaphore>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a slot's queue. The last to leave takes the queue away.
struct Place<'a> {
    turns: &'a Turns,
    slot: SlotKey,
    queue: Arc<Semaphore>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        // Nobody can join while this lock is held: the map's and our own are the last two.
        if Arc::strong_count(&self.queue) == 2 {
            queues.remove(&self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures::future::join_all;

    use super::*;
    use crate::domain::{VenueId, parse_date, parse_start_time};

    fn slot(time: &str) -> SlotKey {
        SlotKey {
            venue_id: VenueId(uuid::Uuid::nil()),
            date: parse_date("2026-12-05").unwrap(),
            start_time: parse_start_time(time).unwrap(),
        }
    }

    #[tokio::test]
    async fn only_a_few_are_on_a_slot_at_a_time_and_no_queue_is_left() {
        let (turns, on_it, most) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let visits = (0..50).map(|_| async {
            let _turn = turns.take(slot("18:00")).await;
            most.fetch_max(on_it.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            on_it.fetch_sub(1, Ordering::SeqCst);
        });
        join_all(visits).await;
        assert_eq!(most.into_inner(), AT_ONCE);
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_queue_to_the_others() {
        let turns = Turns::default();
        let first = (turns.take(slot("18:00")).await, turns.take(slot("18:00")).await);
        let gone = tokio::time::timeout(Duration::from_millis(1), turns.take(slot("18:00"))).await;
        assert!(gone.is_err());
        turns.take(slot("18:30")).await;
        drop(first);
        turns.take(slot("18:00")).await;
        assert!(turns.lock().is_empty());
    }
}
