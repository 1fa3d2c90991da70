//! Who may try a slot next.
//!
//! Bookings of one slot wait for one another at its row, whatever we do. Where they wait makes a
//! difference: in PostgreSQL each waits on a connection, so that one slot that everybody wants would
//! take the connections of all the others, and each commit wakes a queue of backends. So only a few
//! go on to the database at a time, one that works and one that is ready to follow; the rest wait
//! here, first come, first served. Nobody waits who would not get a turn in time.

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
    postgres::{self, Database, DatabaseError},
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
pub struct Turns {
    queues: Mutex<HashMap<SlotKey, Arc<Queue>>>,
    /// How long a turn takes.
    turn_time: Mutex<MeanTime>,
    /// What a turn is for.
    database: Database,
    waiting: UpDownCounter<i64>,
    wait_seconds: Histogram<f64>,
}

/// The queue of one slot.
struct Queue {
    turns: Arc<Semaphore>,
    waiting: AtomicU32,
}

/// A turn on one slot; the next one's begins when it is dropped.
pub struct Turn<'a> {
    // Dropped before the place, which then sees whether anybody else is in the queue.
    _permit: Option<OwnedSemaphorePermit>,
    place: Place<'a>,
    began: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.place.turns.turn_time().add(self.began.elapsed());
    }
}

/// Somebody in a queue, who is counted until this is dropped.
struct Waiting<'a> {
    place: &'a Place<'a>,
    began: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(place: &'a Place<'a>) -> Self {
        place.queue.waiting.fetch_add(1, Relaxed);
        place.turns.waiting.add(1, &[]);
        Self { place, began: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Place { turns, queue, .. } = self.place;
        queue.waiting.fetch_sub(1, Relaxed);
        turns.waiting.add(-1, &[]);
        turns.wait_seconds.record(self.began.elapsed().as_secs_f64(), &[]);
    }
}

impl Turns {
    /// Without queues. Those who wait are announced to the database, which they will need then.
    pub fn new(database: Database) -> Self {
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
        Self { queues: Mutex::default(), turn_time: Mutex::default(), database, waiting, wait_seconds }
    }

    /// Waits for a turn, for no longer than half of the time that the call has.
    ///
    /// # Errors
    /// `Overloaded`, when there is none in time; at once, when there would be none.
    pub async fn take(&self, slot: SlotKey) -> Result<Turn<'_>, DatabaseError> {
        let place = self.join(slot);
        let permit = match Arc::clone(&place.queue.turns).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => place.wait(postgres::patience()).await?,
        };
        Ok(Turn { _permit: permit, place, began: Instant::now() })
    }

    fn join(&self, slot: SlotKey) -> Place<'_> {
        let new = || Arc::new(Queue { turns: Arc::new(Semaphore::new(AT_ONCE as usize)), waiting: AtomicU32::new(0) });
        let queue = Arc::clone(self.lock().entry(slot).or_insert_with(new));
        Place { turns: self, slot, queue }
    }

    fn turn_time(&self) -> MutexGuard<'_, MeanTime> {
        self.turn_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a slot's queue. The last to leave takes the queue away.
struct Place<'a> {
    turns: &'a Turns,
    slot: SlotKey,
    queue: Arc<Queue>,
}

impl Place<'_> {
    async fn wait(&self, patience: Duration) -> Result<Option<OwnedSemaphorePermit>, DatabaseError> {
        if self.expected_wait() > patience {
            return Err(DatabaseError::Overloaded);
        }
        let _waiting = Waiting::begin(self);
        let _announced = self.turns.database.announce();
        let permit = timeout(patience, Arc::clone(&self.queue.turns).acquire_owned()).await;
        // A queue is never closed, so that there always is a permit in the end.
        permit.map(Result::ok).map_err(|_| DatabaseError::Overloaded)
    }

    /// How long another caller would wait.
    fn expected_wait(&self) -> Duration {
        let turns_before = self.queue.waiting.load(Relaxed) + 1;
        self.turns.turn_time().mean().unwrap_or_default() * turns_before / AT_ONCE
    }
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
    use std::sync::atomic::Ordering::SeqCst;

    use futures::future::join_all;
    use teppan_shared::postgres::DatabaseSettings;
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

    /// Turns for a database that nobody connects to.
    fn turns() -> Turns {
        let settings = DatabaseSettings {
            name: "booking",
            url: "postgres://127.0.0.1/none".into(),
            max_connections: 1,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(1),
        };
        Turns::new(Database::new(&settings, &[]).unwrap())
    }

    #[tokio::test]
    async fn only_a_few_are_on_a_slot_at_a_time_and_no_queue_is_left() {
        let (turns, on_it, most) = (turns(), AtomicU32::new(0), AtomicU32::new(0));
        let visits = (0..50).map(|_| async {
            let _turn = turns.take(slot("18:00")).await.unwrap();
            most.fetch_max(on_it.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            on_it.fetch_sub(1, SeqCst);
        });
        join_all(visits).await;
        assert_eq!(most.into_inner(), AT_ONCE);
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_queue_to_the_others() {
        let turns = turns();
        let first = (turns.take(slot("18:00")).await.unwrap(), turns.take(slot("18:00")).await.unwrap());
        let gone = timeout(Duration::from_millis(1), turns.take(slot("18:00"))).await;
        assert!(gone.is_err());
        turns.take(slot("18:30")).await.unwrap();
        drop(first);
        turns.take(slot("18:00")).await.unwrap();
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn who_would_not_get_a_turn_in_time_is_refused_at_once_and_others_wait() {
        let turns = turns();
        (0..100).for_each(|_| turns.turn_time().add(Duration::from_millis(100)));
        let take = |seconds| {
            let ends_at = Moment::now() + Duration::from_secs(seconds);
            postgres::in_time(ends_at, turns.take(slot("18:00")))
        };
        let first = (take(1).await.unwrap(), take(1).await.unwrap());
        // Forty wait for 2 s, the last of them.
        let mut waiting = join_all((0..40).map(|_| async { take(10).await.map(drop) }));
        assert!(futures::poll!(&mut waiting).is_pending());
        let refused = futures::poll!(std::pin::pin!(take(4)));
        assert!(matches!(refused, std::task::Poll::Ready(Err(DatabaseError::Overloaded))));
        assert!(futures::poll!(std::pin::pin!(take(5))).is_pending());
        take(1).await.map(drop).expect_err("the same slot");
        postgres::in_time(Moment::now(), turns.take(slot("18:30"))).await.unwrap();
        drop(first);
        assert!(waiting.await.iter().all(Result::is_ok));
    }
}
