use teppan_shared::tasks::StopSignals;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// What shells answer for a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// Whether the tool was told to stop, by Ctrl-C or SIGTERM.
///
/// From its start on neither signal ends the process by itself, so that a tool always gets to stop
/// its services in order.
pub struct Interrupt {
    told: CancellationToken,
    _listening: AbortOnDropHandle<()>,
}

impl Interrupt {
    /// Starts to listen.
    pub fn listen() -> Self {
        let told = CancellationToken::new();
        let signals = StopSignals::receive();
        let listening = TaskTracker::new().spawn({
            let told = told.clone();
            async move {
                // An error means that signals cannot be received: then they end the process themselves.
                if let Ok(mut signals) = signals {
                    signals.next().await;
                    told.cancel();
                }
            }
        });
        Self { told, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Ends when the tool is told to stop.
    pub async fn told(&self) {
        self.told.cancelled().await;
    }

    pub fn was_told(&self) -> bool {
        self.told.is_cancelled()
    }

    /// The work's outcome, or `None` when the tool was told to stop first; the work is then dropped.
    pub async fn unless_told<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.told() => None,
            outcome = work => Some(outcome),
        }
    }
}
