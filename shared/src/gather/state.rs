//! The calls that wait for a statement, and the statements that run.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{GatherLimits, Gathered, Joined};
use crate::{mean_time::MeanTime, postgres::DatabaseError};

/// Outside of a call there is no time limit but this one.
pub(super) const AN_HOUR: Duration = Duration::from_hours(1);
/// How much the shortest time of a lone statement grows with each sample that is longer, so that it follows a database
/// that has become slower.
const FORGETTING: f64 = 1.01;
/// A statement that has run for longer than this, and for several times as long as a lone one, waits for a lock or a
/// silent server. It does not count as running, so that it does not stop the others.
pub(super) const STUCK: Duration = Duration::from_millis(100);
/// How many times as long as a lone statement it must have run for that.
const STUCK_TIMES: u32 = 4;
/// The queue is searched for calls whose callers have left when it is at least this long.
const PURGE_FROM: usize = 64;

/// A call in the queue.
pub(super) struct Waiting<G: Gathered> {
    /// Its number; the queue assigns it.
    pub ticket: u64,
    pub call: G::Call,
    pub fences: Vec<Vec<u8>>,
    /// The time that was left when it came.
    pub left: Duration,
    pub since: Instant,
    pub reply: oneshot::Sender<Joined<G>>,
}

impl<G: Gathered> Waiting<G> {
    pub fn ends_at(&self) -> Instant {
        self.since + self.left.min(AN_HOUR)
    }
}

/// A running statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    began: Instant,
    is_alone: bool,
}

/// What a call does that comes now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It runs alone at once.
    First(Running),
    /// It waits.
    Queued,
    /// It runs alone at once, because a call with the same fence waits or runs.
    Fenced,
}

/// The state of one gatherer.
pub(super) struct State<G: Gathered> {
    queue: VecDeque<Waiting<G>>,
    tickets: u64,
    /// The length of the queue at which it is searched for calls whose callers have left.
    purge_at: usize,
    /// The running statements, for one call or many.
    running: Vec<Running>,
    /// The fences of the calls that wait or run.
    fences: HashSet<Vec<u8>>,
    statement_time: MeanTime,
    /// The shortest recent time of a statement for one call: how far away the database is.
    shortest: Option<Duration>,
}

impl<G: Gathered> Default for State<G> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            tickets: 0,
            purge_at: PURGE_FROM,
            running: Vec::new(),
            fences: HashSet::new(),
            statement_time: MeanTime::default(),
            shortest: None,
        }
    }
}

impl<G: Gathered> State<G> {
    /// Decides about a call with these fences and this much time.
    ///
    /// # Errors
    /// As of [`Self::admit`].
    pub fn enter(&mut self, fences: &[Vec<u8>], left: Duration, limits: &GatherLimits) -> Result<Entry, DatabaseError> {
        if fences.iter().any(|fence| self.fences.contains(fence)) {
            return Ok(Entry::Fenced);
        }
        self.admit(left, limits)?;
        let is_first = self.is_free(limits);
        self.fences.extend(fences.iter().cloned());
        if is_first {
            return Ok(Entry::First(self.begin(true)));
        }
        Ok(Entry::Queued)
    }

    /// # Errors
    /// `Overloaded` when a call with this much time would not be answered in half of it.
    pub fn admit(&self, left: Duration, limits: &GatherLimits) -> Result<(), DatabaseError> {
        let is_in_time = self.is_free(limits) || self.expected_time(limits) <= left / 2;
        if is_in_time { Ok(()) } else { Err(DatabaseError::Overloaded) }
    }

    /// Whether a call that comes now runs at once.
    fn is_free(&self, limits: &GatherLimits) -> bool {
        self.queue.is_empty() && self.may_start(limits)
    }

    /// Puts a call into the queue, and returns its ticket.
    pub fn queue(&mut self, mut waiting: Waiting<G>) -> u64 {
        if self.queue.len() >= self.purge_at {
            let fences = &mut self.fences;
            self.queue.retain(|waiting| {
                let stays = !waiting.reply.is_closed();
                if !stays {
                    release(fences, &waiting.fences);
                }
                stays
            });
            self.purge_at = PURGE_FROM.max(self.queue.len() * 2);
        }
        self.tickets += 1;
        waiting.ticket = self.tickets;
        self.queue.push_back(waiting);
        self.tickets
    }

    /// Takes a call out of the queue. False if its statement has begun.
    pub fn withdraw(&mut self, ticket: u64) -> bool {
        let Ok(place) = self.queue.binary_search_by_key(&ticket, |waiting| waiting.ticket) else { return false };
        if let Some(waiting) = self.queue.remove(place) {
            release(&mut self.fences, &waiting.fences);
        }
        true
    }

    /// The calls of the next statement, which runs from now on. None if no statement may start.
    pub fn take(&mut self, limits: &GatherLimits) -> (Vec<Waiting<G>>, Option<Running>) {
        let mut calls = Vec::new();
        if !self.may_start(limits) {
            return (calls, None);
        }
        while calls.len() < limits.calls {
            let Some(waiting) = self.queue.pop_front() else { break };
            if waiting.reply.is_closed() {
                release(&mut self.fences, &waiting.fences);
            } else {
                calls.push(waiting);
            }
        }
        let running = (!calls.is_empty()).then(|| self.begin(calls.len() == 1));
        (calls, running)
    }

    fn begin(&mut self, is_alone: bool) -> Running {
        let running = Running { began: Instant::now(), is_alone };
        self.running.push(running);
        running
    }

    pub fn end(&mut self, running: Running, is_answered: bool) {
        if let Some(index) = self.running.iter().position(|other| *other == running) {
            self.running.swap_remove(index);
        }
        if !is_answered {
            return;
        }
        let took = running.began.elapsed();
        // The wait for a lock says nothing about other statements.
        self.statement_time.add(took.min(self.stuck_after()));
        if running.is_alone {
            self.shortest = Some(self.shortest.map_or(took, |shortest| took.min(shortest.mul_f64(FORGETTING))));
        }
    }

    pub fn release(&mut self, fences: &[Vec<u8>]) {
        release(&mut self.fences, fences);
    }

    fn stuck_after(&self) -> Duration {
        STUCK.max(self.shortest.unwrap_or_default() * STUCK_TIMES)
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty() && self.fences.is_empty()
    }

    /// Whether another statement may start. Of those that are stuck, only statements for many are limited: calls that
    /// run alone would need a connection in any case.
    fn may_start(&self, limits: &GatherLimits) -> bool {
        let stuck_after = self.stuck_after();
        let lively = self.running.iter().filter(|running| running.began.elapsed() < stuck_after).count();
        let for_many = self.running.iter().filter(|running| !running.is_alone).count();
        lively < self.statements_max(limits) && for_many < limits.statements_most()
    }

    /// How many statements may run at once.
    fn statements_max(&self, limits: &GatherLimits) -> usize {
        limits.statements_at(self.shortest.unwrap_or_default())
    }

    /// How long it would take until the statement of another call has ended.
    fn expected_time(&self, limits: &GatherLimits) -> Duration {
        let statements = self.queue.len() / limits.calls + 1;
        let rounds = f64::from(u32::try_from(statements).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(self.statements_max(limits)).unwrap_or(u32::MAX));
        self.statement_time.mean().unwrap_or_default().mul_f64(rounds + 1.0)
    }
}

fn release(held: &mut HashSet<Vec<u8>>, fences: &[Vec<u8>]) {
    for fence in fences {
        held.remove(fence);
    }
}
