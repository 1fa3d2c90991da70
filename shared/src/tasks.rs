//! Everything a service runs in the background: named, owned, and awaited when it stops.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

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
    /// the name of whoever overran or panicked.
    pub async fn stop(&self, bound: Duration) {
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + bound;
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for Running { name, mut handle } in running {
            match tokio::time::timeout_at(deadline, &mut handle).await {
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

/// The signals that tell the process to stop: SIGTERM, and Ctrl-C. None is lost from the moment
/// this is made.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub fn receive() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
