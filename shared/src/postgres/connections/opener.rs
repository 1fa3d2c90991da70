//! Opens connections in tasks of their own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{Connections, Failed, Open, naming};
use crate::{
    backoff::Backoff,
    error_chain::error_chain,
    postgres::{
        opening,
        pooler::{PoolerFault, fault_of},
    },
};

/// The pauses after failed attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(40), Duration::from_millis(500));
/// How long the first connections may take to open after the first of them is open.
const WARM_UP: Duration = Duration::from_secs(5);

impl Connections {
    /// Opens the least number of connections, and keeps as many open from then on. Returns when they are open, or when
    /// one is open and the others fail or take too long.
    pub async fn keep_warm(&self) {
        self.lock().keeps_warm = true;
        let mut opened = self.0.opened.subscribe();
        self.open_due();
        // The sender lives as long as `self`.
        let _ = opened.wait_for(|_| self.lock().live > 0).await;
        let settled = opened.wait_for(|_| {
            let state = self.lock();
            state.live >= self.0.limits.min || state.failures > 0
        });
        let _ = timeout(WARM_UP, settled).await;
    }

    /// Opens the missing connections in the background.
    pub(super) fn open_due(&self) {
        if self.0.closing.is_cancelled() {
            return;
        }
        let (due, pause) = {
            let mut state = self.lock();
            let due = state.openings_due(&self.0.limits);
            state.opening += due;
            (due, if state.failures == 0 { Duration::ZERO } else { BACKOFF.after(state.failures) })
        };
        for _ in 0..due {
            let connections = self.clone();
            self.0.background.spawn(async move {
                tokio::select! {
                    () = connections.open(pause) => {}
                    () = connections.0.closing.cancelled() => {}
                }
            });
        }
    }

    /// Opens one connection after a pause, and reports a failure to the waiting callers.
    async fn open(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
        let mut reached_at = self.0.reached_at.subscribe();
        let (began, generation, name, opened) = loop {
            let began = Instant::now();
            // The generation at the start of the attempt: an attempt that was running at `forget_all` may lead to the
            // old server.
            let (generation, name) = {
                let mut state = self.lock();
                state.numbered += 1;
                (state.generation, naming::name(&self.0.name, state.numbered))
            };
            let options = self.0.options.clone().application_name(&name);
            tokio::select! {
                opened = opening::open(&options, self.0.hot) => break (began, generation, name, opened),
                // This attempt may wait for a server that never answers. The sender lives as long as `self`.
                _ = reached_at.wait_for(|reached| began < *reached) => {}
            }
        };
        match opened {
            Ok(connection) => {
                let open = {
                    let mut state = self.lock();
                    state.opening -= 1;
                    state.live += 1;
                    state.failures = 0;
                    Open::new(connection, name, generation)
                };
                self.0.metrics.opened(began.elapsed());
                tracing::debug!(took_ms = began.elapsed().as_millis(), "database connection opened");
                self.push(open);
            }
            Err(error) => {
                self.0.metrics.open_failed();
                let (first, live) = {
                    let mut state = self.lock();
                    state.opening -= 1;
                    state.failures = state.failures.saturating_add(1);
                    state.shares_statements |= fault_of(&error) == Some(PoolerFault::LosesPreparedStatements);
                    (state.failures == 1, state.live)
                };
                if first {
                    tracing::warn!(error = error_chain(&error), live, "a connection to the database cannot be opened");
                }
                self.0.failed.send_replace(Some(Failed { began, error: Arc::new(error) }));
            }
        }
        self.0.opened.send_modify(|count| *count += 1);
        self.open_due();
    }
}
