use teppan_shared::tasks::StopSignals;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// What shells answer for a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// Whether the tool was told to stop, by Ctrl-C, SIGTERM, or a terminal that was closed.
///
/// From its start on no such signal ends the process by itself, so that a tool always gets to stop
/// its services in order.
pub struct Interrupt {
    told: CancellationToken,
    told_again: CancellationToken,
    _listening: AbortOnDropHandle<()>,
}

impl Interrupt {
    /// Starts to listen.
    pub fn listen() -> Self {
        let (told, told_again) = (CancellationToken::new(), CancellationToken::new());
        let signals = StopSignals::receive();
        let listening = TaskTracker::new().spawn({
            let (told, told_again) = (told.clone(), told_again.clone());
            async move {
                // An error means that signals cannot be received: then they end the process themselves.
                if let Ok(mut signals) = signals {
                    signals.next().await;
                    told.cancel();
                    signals.next().await;
                    told_again.cancel();
                }
            }
        });
        Self { told, told_again, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Ends when the tool is told to stop.
    pub async fn told(&self) {
        self.told.cancelled().await;
    }

    /// Ends when the tool is told to stop a second time: it is not to wait for anything.
    pub async fn told_again(&self) {
        self.told_again.cancelled().await;
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
