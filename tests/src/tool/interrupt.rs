use teppan_shared::tasks::StopSignals;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// The exit code that shells report for a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// The stop signals of a tool: Ctrl-C, SIGTERM, and the end of the terminal.
///
/// Once this listens, no such signal ends the process by itself, so the tool can always stop its services in order.
pub struct Interrupt {
    interrupted: CancellationToken,
    interrupted_again: CancellationToken,
    _listening: AbortOnDropHandle<()>,
}

impl Interrupt {
    /// Starts to listen.
    pub fn listen() -> Self {
        let (interrupted, interrupted_again) = (CancellationToken::new(), CancellationToken::new());
        let signals = StopSignals::receive();
        let listening = TaskTracker::new().spawn({
            let (interrupted, interrupted_again) = (interrupted.clone(), interrupted_again.clone());
            async move {
                // On an error signals cannot be received, so they end the process.
                if let Ok(mut signals) = signals {
                    signals.next().await;
                    interrupted.cancel();
                    signals.next().await;
                    interrupted_again.cancel();
                }
            }
        });
        Self { interrupted, interrupted_again, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Waits for the first stop signal.
    pub async fn interrupted(&self) {
        self.interrupted.cancelled().await;
    }

    /// Waits for the second stop signal, after which the tool waits for nothing.
    pub async fn interrupted_again(&self) {
        self.interrupted_again.cancelled().await;
    }

    pub fn was_interrupted(&self) -> bool {
        self.interrupted.is_cancelled()
    }

    /// The result of the work, or `None` when a stop signal came first; the work is then dropped.
    pub async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.interrupted() => None,
            outcome = work => Some(outcome),
        }
    }
}
