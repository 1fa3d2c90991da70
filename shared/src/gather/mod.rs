//! Gathers calls: those that come while a statement runs wait, and go together in the next one.
//!
//! Starting and ending a statement costs the database as much as several rows, so many calls in one statement cost it a
//! part of what many statements would. No call waits for others to come: while fewer statements run than may, a call
//! runs at once, alone.
//!
//! Each call has its own outcome. What a statement for many does not settle runs alone afterwards, by the statement for
//! one call; so do all calls of a statement that fails. Calls that would stand in each other's way, such as two with the
//! same idempotency key, are never in one statement.

mod limits;
mod metrics;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

pub use self::limits::{GatherArgs, GatherLimits};
use self::{
    metrics::Metrics,
    state::{AN_HOUR, Entry, STUCK, State, Waiting},
};
use crate::postgres::{self, DatabaseError};

/// Calls of one kind, and the statement for many of them.
pub trait Gathered: Send + Sync + 'static {
    /// The name of the kind in metrics.
    const NAME: &'static str;
    type Call: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Values of which only one call at a time may wait or run, such as the idempotency key.
    fn fences(&self, call: &Self::Call) -> Vec<Vec<u8>>;

    /// Runs one statement for all of these calls. Each answer stands at the place of its call. `None`: nothing was
    /// written for the call, and it runs alone.
    ///
    /// # Errors
    /// [`DatabaseError`]: every call runs alone, and finds out what happened.
    fn run(
        &self,
        calls: &[Self::Call],
    ) -> impl Future<Output = Result<Vec<Option<Self::Answer>>, DatabaseError>> + Send;
}

/// What became of a call.
pub enum Joined<G: Gathered> {
    /// A statement for many calls settled it.
    Settled(G::Call, G::Answer),
    /// It must run alone now. Its first statement has a turn, unless it comes from a statement for many or meets the
    /// fence of another call.
    Alone(G::Call, Option<Turn<G>>),
}

/// Gathers the calls of one kind. Cheap to clone.
pub struct Gatherer<G: Gathered>(Arc<Shared<G>>);

impl<G: Gathered> Clone for Gatherer<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<G: Gathered> {
    gathered: G,
    limits: GatherLimits,
    state: Mutex<State<G>>,
    /// Statements for many calls. They go on when a caller leaves.
    tasks: TaskTracker,
    metrics: Metrics,
}

/// The right to run one of the statements that may run at once. When it is dropped, the next statement starts.
pub struct Turn<G: Gathered> {
    gatherer: Gatherer<G>,
    fences: Vec<Vec<u8>>,
    is_alone: bool,
    began: Instant,
}

impl<G: Gathered> Drop for Turn<G> {
    fn drop(&mut self) {
        self.gatherer.lock().end(&self.fences, self.began, self.is_alone);
        self.gatherer.start_next();
    }
}

impl<G: Gathered> Gatherer<G> {
    pub fn new(gathered: G, limits: GatherLimits) -> Self {
        Self(Arc::new(Shared {
            gathered,
            limits,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            metrics: Metrics::new(G::NAME),
        }))
    }

    /// Runs the call in a statement with others, or returns it to be run alone.
    ///
    /// A call whose caller leaves while it waits is not run. If the caller leaves later, it is unknown whether the call
    /// took effect.
    ///
    /// # Errors
    /// `Overloaded`, immediately, when the call is expected to wait for more than half of its remaining time, and later
    /// when too little time is left for its statement. `Failed` when the task of its statement ended without an answer.
    pub async fn join(&self, call: G::Call) -> Result<Joined<G>, DatabaseError> {
        if self.0.limits.is_off() {
            return Ok(Joined::Alone(call, None));
        }
        let fences = self.0.gathered.fences(&call);
        let left = postgres::time_left();
        let (ticket, mut reply) = {
            let mut state = self.lock();
            match state.enter(&fences, left, &self.0.limits)? {
                Entry::Fenced => return Ok(Joined::Alone(call, None)),
                Entry::First(began) => {
                    drop(state);
                    self.0.metrics.run(1);
                    return Ok(Joined::Alone(call, Some(self.turn(fences, began, true))));
                }
                Entry::Queued => {
                    let (reply, answer) = oneshot::channel();
                    let ticket = state.queue(Waiting { ticket: 0, call, fences, left, since: Instant::now(), reply });
                    (ticket, answer)
                }
            }
        };
        let _waiting = self.0.metrics.wait();
        // A statement that begins later would not end in time.
        let begins_by = Instant::now() + left.min(AN_HOUR) / 16 * 15;
        loop {
            let until = begins_by.saturating_duration_since(Instant::now());
            let pause = if until.is_zero() { STUCK } else { until.min(STUCK) };
            if let Ok(answer) = timeout(pause, &mut reply).await {
                return answer.map_err(|_| DatabaseError::Failed(sqlx::Error::WorkerCrashed));
            }
            if Instant::now() >= begins_by && self.lock().withdraw(ticket) {
                return Err(DatabaseError::Overloaded);
            }
            // If the statements that run are stuck, no end of one starts the next.
            self.start_next();
        }
    }

    fn turn(&self, fences: Vec<Vec<u8>>, began: Instant, is_alone: bool) -> Turn<G> {
        Turn { gatherer: self.clone(), fences, is_alone, began }
    }

    /// Starts statements for the calls that wait, as many as may run.
    fn start_next(&self) {
        loop {
            // Not inside the loop's condition: the lock must not be held while a turn is dropped.
            let (calls, began) = self.lock().take(&self.0.limits);
            let fences = || calls.iter().flat_map(|waiting| waiting.fences.iter().cloned()).collect();
            match calls.len() {
                0 => return,
                1 => {
                    let turn = self.turn(fences(), began, true);
                    self.0.metrics.run(1);
                    if let Some(Waiting { call, reply, .. }) = calls.into_iter().next() {
                        // If the caller has left, this drops the turn.
                        let _ = reply.send(Joined::Alone(call, Some(turn)));
                    }
                }
                count => {
                    let turn = self.turn(fences(), began, false);
                    self.0.metrics.run(count);
                    self.0.tasks.spawn(self.clone().run_many(calls, turn));
                }
            }
        }
    }

    async fn run_many(self, waiting: Vec<Waiting<G>>, turn: Turn<G>) {
        let ends_at = waiting.iter().map(Waiting::ends_at).max().unwrap_or_else(Instant::now);
        let (calls, replies): (Vec<_>, Vec<_>) = waiting.into_iter().map(|it| (it.call, it.reply)).unzip();
        let answers = postgres::in_time(ends_at, self.0.gathered.run(&calls)).await;
        // The next statement starts before this one is answered.
        drop(turn);
        let answers = answers.unwrap_or_else(|error| {
            tracing::debug!(error = crate::error_chain::error_chain(&error), "calls run alone");
            Vec::new()
        });
        let answers = answers.into_iter().chain(std::iter::repeat_with(|| None));
        let mut unsettled = 0;
        for ((call, reply), answer) in calls.into_iter().zip(replies).zip(answers) {
            unsettled += u64::from(answer.is_none());
            // A caller that has left needs no answer.
            let _ = reply.send(match answer {
                Some(answer) => Joined::Settled(call, answer),
                None => Joined::Alone(call, None),
            });
        }
        self.0.metrics.unsettled(unsettled);
    }

    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
