//! The background tasks of a service. They have names and an owner, and are awaited when the service stops.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long a task may take to end after a forced stop.
pub const FORCED_STOP_TIME: Duration = Duration::from_secs(1);

/// The tasks of one service. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks {
    stop: CancellationToken,
    running: Arc<Mutex<Vec<Running>>>,
}

struct Running {
    name: &'static str,
    handle: JoinHandle<()>,
}

impl Tasks {
    /// Cancelled when the tasks must end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task. It must end soon after [`Tasks::stopping`] is cancelled.
    #[expect(clippy::disallowed_methods, reason = "tasks get their owner here")]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(Running { name, handle });
    }

    /// Stops all tasks: waits until the bound, then aborts those that still run. Logs the names of tasks that were
    /// aborted or panicked. Cancelling `at_once` shortens the bound to [`FORCED_STOP_TIME`].
    pub async fn stop(&self, bound: Duration, at_once: &CancellationToken) {
        self.stop.cancel();
        let mut deadline = Instant::now() + bound;
        let mut hurried = false;
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for Running { name, mut handle } in running {
            let ended = at_once.run_until_cancelled(timeout_at(deadline, &mut handle)).await;
            if ended.is_none() && !hurried {
                hurried = true;
                deadline = deadline.min(Instant::now() + FORCED_STOP_TIME);
            }
            let ended = match ended {
                Some(ended) => ended,
                None => timeout_at(deadline, &mut handle).await,
            };
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(task = name, %error, "background task failed"),
                Err(_) => {
                    tracing::warn!(task = name, "background task did not end in time; it is aborted");
                    handle.abort();
                }
            }
        }
    }
}

/// The signals that stop the process: SIGTERM, Ctrl-C, and SIGHUP (the terminal was closed). No signal is lost after
/// this is created.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` when the process was started with SIGHUP ignored, as by `nohup`. It then keeps running without its
    /// terminal.
    hang_up: Option<Signal>,
}

impl StopSignals {
    pub fn receive() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: hang_up()?,
        })
    }

    /// Waits for the next signal, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hang_up => "SIGHUP",
        }
    }
}

/// SIGHUP; `None` when the process was started with it ignored.
pub fn hang_up() -> std::io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores(&status, SignalKind::hangup()) { Ok(None) } else { signal(SignalKind::hangup()).map(Some) }
}

/// Whether a process ignores a signal, from its `/proc/<pid>/status`; `false` on systems without that file.
fn ignores(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal.as_raw_value() - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_ignored_when_its_bit_is_set() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(ignores(status, SignalKind::hangup()));
        assert!(!ignores(status, SignalKind::interrupt()));
        assert!(!ignores("", SignalKind::hangup()));
    }
}
