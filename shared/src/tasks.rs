//! Everything a service runs in the background: named, owned, and awaited when it stops.

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

/// How long a task may take to end once everything has to end at once.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

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
    /// Cancelled when the tasks are to end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task. It has to end soon after [`Tasks::stopping`] is cancelled.
    #[expect(clippy::disallowed_methods, reason = "here is where tasks get their owner")]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(Running { name, handle });
    }

    /// Tells every task to end, waits for each until the bound, and then ends it by force. Logs
    /// the name of whoever overran or panicked. Cancelling `at_once` shortens the bound to [`LAST_WORDS`].
    pub async fn stop(&self, bound: Duration, at_once: &CancellationToken) {
        self.stop.cancel();
        let mut deadline = Instant::now() + bound;
        let mut hurried = false;
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for Running { name, mut handle } in running {
            let ended = at_once.run_until_cancelled(timeout_at(deadline, &mut handle)).await;
            if ended.is_none() && !hurried {
                hurried = true;
                deadline = deadline.min(Instant::now() + LAST_WORDS);
            }
            let ended = match ended {
                Some(ended) => ended,
                None => timeout_at(deadline, &mut handle).await,
            };
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(task = name, %error, "a task failed"),
                Err(_) => {
                    tracing::warn!(task = name, "a task did not end in time and is ended by force");
                    handle.abort();
                }
            }
        }
    }
}

/// The signals that tell the process to stop: SIGTERM, Ctrl-C, and SIGHUP, which comes when the
/// terminal is closed. None is lost from the moment this is made.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` when the process was started with it ignored, as by `nohup`: then it outlives its terminal.
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

/// SIGHUP, unless the process was started with it ignored.
pub fn hang_up() -> std::io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores(&status, SignalKind::hangup()) { Ok(None) } else { signal(SignalKind::hangup()).map(Some) }
}

/// Whether a process ignores a signal, by its `/proc/<pid>/status`; `false` on systems without that file.
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
