//! The connections of one service: a stack of idle connections, and the callers that wait for one.
//!
//! A pool that checks a connection before each use pays a round trip for it. Here a connection returns to the stack
//! only after its statement ended cleanly. A connection whose statement was abandoned is checked in the background
//! first.
//!
//! Opening a connection takes half a dozen round trips. If the database is far away, that is longer than a caller may
//! wait. So separate tasks open connections: a caller requests one and takes the first that becomes idle. A requested
//! connection is kept even if its caller gives up.

mod abandoned;
mod admission;
mod lease;
mod metrics;
mod naming;
mod opener;
mod state;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, postgres::PgConnectOptions};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::admission::{in_time, time_left};
pub(super) use self::lease::Lease;
use self::{
    abandoned::Canceller,
    metrics::Metrics,
    state::{Open, State},
};
use super::{opening::SessionSetting, probe::Suspicion};

/// How long a connection may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// The limits of the number of connections, and of the wait for one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Kept open from [`Connections::keep_warm`] on.
    pub min: u32,
    pub max: u32,
    pub acquire_timeout: Duration,
}

/// The connections of one service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

/// A weak reference for the metrics: the meter lives longer than a database and must not keep connections open.
#[derive(Clone)]
struct WeakConnections(Weak<Shared>);

/// The number of connections by state.
struct Usage {
    max: u32,
    used: u32,
    idle: u32,
    /// Callers that wait for a connection.
    waiting: u32,
    awaiting_standby: u32,
}

impl WeakConnections {
    /// `None` when the connections are closed.
    fn usage(&self) -> Option<Usage> {
        self.0.upgrade().map(|shared| Connections(shared).usage())
    }
}

struct Shared {
    options: PgConnectOptions,
    /// The prefix of the connections' names in `pg_stat_activity`.
    name: String,
    session: Vec<SessionSetting>,
    hot: &'static [&'static str],
    limits: Limits,
    metrics: Metrics,
    state: Mutex<State>,
    /// One permit for each idle connection that no caller has reserved.
    idle: Semaphore,
    /// Cancels abandoned statements. Opened when it is first needed.
    canceller: tokio::sync::Mutex<Canceller>,
    /// The last failed attempt to open a connection.
    failed: watch::Sender<Option<Failed>>,
    /// The number of attempts to open a connection that have ended, with or without success.
    opened: watch::Sender<u64>,
    /// The oldest usable generation of [`State`]. It ends statements that run on an earlier generation.
    oldest: watch::Sender<u64>,
    /// The start of an attempt that reached the database after it had been unavailable. Attempts that started earlier
    /// may wait for a server that never answers.
    reached_at: watch::Sender<Instant>,
    background: TaskTracker,
    closing: CancellationToken,
}

#[derive(Debug, Clone)]
struct Failed {
    began: Instant,
    error: Arc<sqlx::Error>,
}

impl Connections {
    /// `name` is the name in metrics. `session` has the settings that the options set on every connection.
    pub fn new(
        name: &'static str,
        options: PgConnectOptions,
        session: Vec<SessionSetting>,
        hot: &'static [&'static str],
        limits: Limits,
    ) -> Self {
        let name_prefix = naming::prefix(options.get_application_name());
        let connections = Self(Arc::new(Shared {
            options,
            name: name_prefix,
            session,
            hot,
            limits,
            metrics: Metrics::new(name),
            state: Mutex::default(),
            idle: Semaphore::new(0),
            canceller: tokio::sync::Mutex::default(),
            failed: watch::Sender::default(),
            opened: watch::Sender::default(),
            oldest: watch::Sender::default(),
            reached_at: watch::Sender::new(Instant::now()),
            background: TaskTracker::new(),
            closing: CancellationToken::new(),
        }));
        metrics::observe(name, &WeakConnections(Arc::downgrade(&connections.0)));
        connections
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.0.options
    }

    pub fn session(&self) -> &[SessionSetting] {
        &self.0.session
    }

    /// Whether an opening failed because another connection's statement had the same name.
    pub fn shares_statements(&self) -> bool {
        self.lock().shares_statements
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn usage(&self) -> Usage {
        let state = self.lock();
        let idle = u32::try_from(state.idle.len()).unwrap_or(u32::MAX);
        let used = state.live.saturating_sub(idle);
        let (waiting, awaiting_standby) = (state.waiting, state.awaiting_standby);
        Usage { max: self.0.limits.max, used, idle, waiting, awaiting_standby }
    }

    /// Whether there is a connection or the last attempt to open one succeeded, and not all connections wait for a
    /// synchronous standby.
    pub fn is_usable(&self) -> bool {
        let state = self.lock();
        (state.live > 0 || state.failures == 0) && state.awaiting_standby < self.0.limits.max
    }

    /// Puts a connection on the stack. The caller that has waited longest takes it.
    fn push(&self, open: Open) {
        self.lock().idle.push(open);
        self.0.idle.add_permits(1);
    }

    /// Takes a connection back after a clean end. Closes it if it is too old. Otherwise closes the connection that has
    /// been idle longest, if that is too long.
    fn give_back(&self, mut open: Open) {
        open.used = Instant::now();
        let (back, leaves) = {
            let mut state = self.lock();
            if state.may_stay(&open, &self.0.limits) && !self.0.closing.is_cancelled() {
                let overdue = state.take_overdue(&self.0.limits);
                self.0.idle.forget_permits(usize::from(overdue.is_some()));
                (Some(open), overdue)
            } else {
                (None, Some(open))
            }
        };
        if let Some(leaves) = leaves {
            self.retire(leaves);
        }
        match back {
            Some(open) => self.push(open),
            None => self.open_due(),
        }
    }

    /// Closes a connection in the background. It counts against the limit until it is closed.
    fn retire(&self, open: Open) {
        {
            let mut state = self.lock();
            state.live -= 1;
            state.closing += 1;
        }
        let connections = self.clone();
        self.0.background.spawn(async move {
            let _ = timeout(CLOSING, open.connection.close()).await;
            connections.lock().closing -= 1;
            connections.open_due();
        });
    }

    /// Stops counting a connection that is dead.
    fn lose(&self) {
        self.lock().live -= 1;
        self.open_due();
    }

    /// Takes every idle connection off the stack.
    fn take_idle(&self) -> Vec<Open> {
        let mut state = self.lock();
        let idle = std::mem::take(&mut state.idle);
        // A caller that has already taken a permit finds the stack empty and continues to wait.
        self.0.idle.forget_permits(idle.len());
        idle
    }

    /// Drops the idle connections that were opened by this time, because one of that age turned out to be dead.
    pub fn forget_opened_by(&self, time: Instant) {
        let dead: Vec<Open> = {
            let mut state = self.lock();
            let dead: Vec<_> = state.idle.extract_if(.., |open| open.opened <= time).collect();
            self.0.idle.forget_permits(dead.len());
            dead
        };
        for _ in dead {
            self.lose();
        }
    }

    /// Begins a new generation of connections. Earlier ones may lead to a server that is being replaced.
    pub fn begin_generation(&self) {
        self.lock().generation += 1;
    }

    /// Restarts the attempts to open a connection that started before this time: an attempt that started then has
    /// reached the database.
    pub fn reopen(&self, begun_before: Instant) {
        self.0.reached_at.send_replace(begun_before);
    }

    /// Drops every connection of an earlier generation, because it leads to the wrong server. Running statements are
    /// abandoned, because a server that hangs never answers.
    pub fn forget_earlier(&self) {
        let (oldest, forgotten) = {
            let mut state = self.lock();
            let forgotten = state.forget_earlier();
            // A caller that has already taken a permit finds the stack empty and continues to wait.
            self.0.idle.forget_permits(forgotten.len());
            (state.oldest, forgotten)
        };
        self.0.oldest.send_replace(oldest);
        for _ in forgotten {
            self.lose();
        }
    }

    /// Drops every connection.
    pub fn forget_all(&self) {
        self.begin_generation();
        self.forget_earlier();
    }

    /// Pings every idle connection before it is used again, because the database was unavailable.
    pub fn check_idle(&self) {
        for open in self.take_idle() {
            self.check_and_return(open);
        }
    }

    /// Stores the problem of the server that an error suggests. [`super::Probe`] checks it.
    pub fn suspect(&self, suspicion: Suspicion) {
        self.lock().suspicion = Some(suspicion);
    }

    pub fn suspicion(&self) -> Option<Suspicion> {
        self.lock().suspicion
    }

    /// Clears the suspicion, because the server accepts writes.
    pub fn clear_suspicion(&self) {
        self.lock().suspicion = None;
    }

    /// Closes every connection. A connection on which the server does not answer is dropped after a time.
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.idle.close();
        for open in self.take_idle() {
            self.retire(open);
        }
        self.0.background.close();
        self.0.background.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
