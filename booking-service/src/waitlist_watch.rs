//! Whether it is worth looking for seats to offer.

use std::sync::atomic::{AtomicBool, Ordering};

use teppan_shared::worker::Nudge;

/// Wakes the worker that offers seats when a call of this process freed some, so that they are offered
/// within milliseconds. It is a hint and no more: the notes are in the database, and the timer finds those
/// that nobody told of. Where nobody waits for anything, nobody is woken.
#[derive(Default)]
pub struct WaitlistWatch {
    nudge: Nudge,
    /// As this process knows: from its own calls, and from when it last looked.
    somebody_waits: AtomicBool,
}

impl WaitlistWatch {
    /// Somebody joined.
    pub fn somebody_waits(&self) {
        self.somebody_waits.store(true, Ordering::Relaxed);
    }

    /// What a look at all entries showed.
    pub fn looked(&self, anyone_waits: bool) {
        self.somebody_waits.store(anyone_waits, Ordering::Relaxed);
    }

    /// There may be seats to offer.
    pub fn seats_came_free(&self) {
        if self.somebody_waits.load(Ordering::Relaxed) {
            self.nudge.nudge();
        }
    }

    pub fn nudge(&self) -> &Nudge {
        &self.nudge
    }
}
