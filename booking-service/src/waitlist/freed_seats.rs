use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use teppan_shared::worker::Nudge;

/// Wakes the worker that offers seats that came free. Clones share it.
///
/// It is a hint: the database has the notes, and the timer finds those that this process did not hear of.
#[derive(Clone, Default)]
pub struct FreedSeats {
    nudge: Nudge,
    anybody_waits: Arc<AtomicBool>,
}

impl FreedSeats {
    /// Somebody waits for seats that came free.
    pub fn offer(&self) {
        self.nudge.nudge();
    }

    /// Seats came free somewhere: the worker is woken unless nobody is known to wait for any.
    pub fn may_offer(&self) {
        if self.anybody_waits.load(Ordering::Relaxed) {
            self.nudge.nudge();
        }
    }

    /// Somebody joined a queue, or a look showed whether anybody waits.
    pub fn note(&self, anybody_waits: bool) {
        self.anybody_waits.store(anybody_waits, Ordering::Relaxed);
    }

    pub fn nudge(&self) -> &Nudge {
        &self.nudge
    }
}
