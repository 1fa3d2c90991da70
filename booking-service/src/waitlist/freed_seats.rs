use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use teppan_shared::worker::Nudge;

/// Wakes the worker that offers freed seats. Clones share the state.
///
/// It is only a hint: the database has the notes, and the worker's timer finds the notes of other processes.
#[derive(Clone, Default)]
pub struct FreedSeats {
    nudge: Nudge,
    entries_wait: Arc<AtomicBool>,
}

impl FreedSeats {
    /// Wakes the worker: seats came free for which customers wait.
    pub fn wake(&self) {
        self.nudge.nudge();
    }

    /// Wakes the worker if this process knows of waiting entries: seats may have come free.
    pub fn wake_if_entries_wait(&self) {
        if self.entries_wait.load(Ordering::Relaxed) {
            self.nudge.nudge();
        }
    }

    /// Records whether entries wait for any slot.
    pub fn set_entries_wait(&self, entries_wait: bool) {
        self.entries_wait.store(entries_wait, Ordering::Relaxed);
    }

    pub fn nudge(&self) -> &Nudge {
        &self.nudge
    }
}
