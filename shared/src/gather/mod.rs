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

use std::{
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

pub use self::limits::{GatherArgs, GatherLimits};
use self::{
    metrics::Metrics,
    state::{AN_HOUR, Entry, Running, STUCK, State, Waiting},
};
use crate::{
    error_chain::error_chain,
    postgres::{self, DatabaseError},
};

/// What the calls of a method wait for before their statement.
pub trait Queue: Send + Sync {
    /// The name of the method, such as `CreateBooking`.
    fn method(&self) -> &'static str;

    /// Checks that a call with this much time would be answered in half of it. Calls are checked before they cost
    /// anything.
    ///
    /// # Errors
    /// `Overloaded` when it would take longer.
    fn admit(&self, left: Duration) -> Result<(), DatabaseError>;
}

/// Calls of one method, and the statement for many of them.
pub trait Gathered: Send + Sync + 'static {
    /// The name of the method, also in metrics.
    const METHOD: &'static str;
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
    /// It must run alone now, and keep the turn until it has ended.
    Alone(G::Call, Turn<G>),
}

/// Gathers the calls of one kind. Cheap to clone.
pub struct Gatherer<G: Gathered>(Arc<Shared<G>>);

impl<G: Gathered> Queue for Gatherer<G> {
    fn method(&self) -> &'static str {
        G::METHOD
    }

    fn admit(&self, left: Duration) -> Result<(), DatabaseError> {
        if self.0.limits.is_off() { Ok(()) } else { self.lock().admit(left, &self.0.limits) }
    }
}

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

/// A call that runs alone, or a statement for many. While it has the turn, its fences keep calls with the same values out
/// of the statements for many.
pub struct Turn<G: Gathered> {
    gatherer: Gatherer<G>,
    fences: Vec<Vec<u8>>,
    /// It counts as a running statement.
    running: Option<Running>,
}

impl<G: Gathered> Turn<G> {
    /// Its statement has ended, or does not run now: the next one may start. Only the time of a statement that was
    /// answered says something about the database.
    pub fn ended(&mut self, is_answered: bool) {
        if let Some(running) = self.running.take() {
            self.gatherer.lock().end(running, is_answered);
            self.gatherer.start_next();
        }
    }
}

impl<G: Gathered> Drop for Turn<G> {
    fn drop(&mut self) {
        self.gatherer.lock().release(&self.fences);
        self.ended(false);
    }
}

impl<G: Gathered> Gatherer<G> {
    pub fn new(gathered: G, limits: GatherLimits) -> Self {
        Self(Arc::new(Shared {
            gathered,
            limits,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            metrics: Metrics::new(G::METHOD),
        }))
    }

    /// Runs the call in a statement with others, or returns it to be run alone.
    ///
    /// A call whose caller leaves while it waits is not run. If the caller leaves later, it is unknown whether the call
    /// took effect.
    ///
    /// # Errors
    /// `Overloaded`, immediately, when the call is expected to take more than half of its remaining time, and later
    /// when too little time is left for its statement. `Failed` when the task of its statement ended without an answer.
    pub async fn join(&self, call: G::Call) -> Result<Joined<G>, DatabaseError> {
        if self.0.limits.is_off() {
            return Ok(Joined::Alone(call, self.alone()));
        }
        let fences = self.0.gathered.fences(&call);
        let left = postgres::time_left();
        let (ticket, mut reply) = {
            let mut state = self.lock();
            match state.enter(&fences, left, &self.0.limits)? {
                Entry::Fenced => {
                    drop(state);
                    return Ok(Joined::Alone(call, self.alone()));
                }
                Entry::First(running) => {
                    drop(state);
                    self.0.metrics.run(1);
                    return Ok(Joined::Alone(call, self.turn(fences, Some(running))));
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

    /// The turn of a call that runs alone without [`Gatherer::join`]. It has no fences and does not count as running.
    pub fn alone(&self) -> Turn<G> {
        self.turn(Vec::new(), None)
    }

    fn turn(&self, fences: Vec<Vec<u8>>, running: Option<Running>) -> Turn<G> {
        Turn { gatherer: self.clone(), fences, running }
    }

    /// Starts statements for the calls that wait, as many as may run.
    fn start_next(&self) {
        loop {
            // Not inside the loop's condition: the lock must not be held while a turn is dropped.
            let (calls, running) = self.lock().take(&self.0.limits);
            let fences = || calls.iter().flat_map(|waiting| waiting.fences.iter().cloned()).collect();
            match calls.len() {
                0 => return,
                1 => {
                    let turn = self.turn(fences(), running);
                    self.0.metrics.run(1);
                    if let Some(Waiting { call, reply, .. }) = calls.into_iter().next() {
                        // If the caller has left, this drops the turn.
                        let _ = reply.send(Joined::Alone(call, turn));
                    }
                }
                count => {
                    let turn = self.turn(fences(), running);
                    self.0.metrics.run(count);
                    self.0.tasks.spawn(self.clone().run_many(calls, turn));
                }
            }
        }
    }

    async fn run_many(self, waiting: Vec<Waiting<G>>, mut turn: Turn<G>) {
        let ends_at = waiting.iter().map(Waiting::ends_at).max().unwrap_or_else(Instant::now);
        let fences: Vec<_> = waiting.iter().map(|waiting| waiting.fences.clone()).collect();
        let (calls, replies): (Vec<_>, Vec<_>) = waiting.into_iter().map(|it| (it.call, it.reply)).unzip();
        let answers = timeout_at(ends_at, postgres::in_time(ends_at, self.0.gathered.run(&calls))).await;
        // The next statement starts before this one is answered.
        turn.ended(matches!(answers, Ok(Ok(_))));
        let answers = match answers {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => {
                tracing::debug!(error = error_chain(&error), "calls run alone");
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        let answers = answers.into_iter().chain(iter::repeat_with(|| None));
        // Calls that run alone keep their fences.
        turn.fences.clear();
        let mut ends = Vec::with_capacity(calls.len());
        for ((call, fences), answer) in calls.into_iter().zip(fences).zip(answers) {
            ends.push(match answer {
                Some(answer) => {
                    turn.fences.extend(fences);
                    Joined::Settled(call, answer)
                }
                None => Joined::Alone(call, self.turn(fences, None)),
            });
        }
        drop(turn);
        let unsettled = ends.iter().filter(|end| matches!(end, Joined::Alone(..))).count();
        self.0.metrics.unsettled(unsettled as u64);
        for (end, reply) in ends.into_iter().zip(replies) {
            // A caller that has left needs no answer.
            let _ = reply.send(end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
