//! Whether it is worth looking for seats to offer.

use std::sync::atomic::{AtomicU64, Ordering};

use teppan_shared::worker::Nudge;

/// Wakes the worker that offers seats when a call of this process freed some, so that they are offered
/// within milliseconds. It is a hint and no more: the notes are in the database, and the timer finds those
/// that nobody told of. Where nobody waits for anything, nobody is woken.
#[derive(Default)]
pub struct WaitlistWatch {
    nudge: Nudge,
    /// How often this process learned that somebody waits: from its own calls, and from when it last looked.
    joined: AtomicU64,
    /// How many of these a look has shown to wait no more.
    gone: AtomicU64,
}

/// What was known when a look began. It says nothing of those who join while it goes on.
#[derive(Clone, Copy)]
pub struct Look {
    joined: u64,
}

impl WaitlistWatch {
    /// Somebody joined.
    pub fn somebody_waits(&self) {
        self.joined.fetch_add(1, Ordering::SeqCst);
    }

    /// A look at all entries begins.
    pub fn look(&self) -> Look {
        Look { joined: self.joined.load(Ordering::SeqCst) }
    }

    /// What it showed.
    pub fn looked(&self, look: Look, anyone_waits: bool) {
        if anyone_waits {
            self.somebody_waits();
        } else {
            self.gone.fetch_max(look.joined, Ordering::SeqCst);
        }
    }

    /// There may be seats to offer.
    pub fn seats_came_free(&self) {
        if self.may_wait() {
            self.nudge.nudge();
        }
    }

    fn may_wait(&self) -> bool {
        self.joined.load(Ordering::SeqCst) > self.gone.load(Ordering::SeqCst)
    }

    pub fn nudge(&self) -> &Nudge {
        &self.nudge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_while_nobody_is_seen_is_not_forgotten() {
        let watch = WaitlistWatch::default();
        assert!(!watch.may_wait());
        let look = watch.look();
        watch.somebody_waits();
        watch.looked(look, false);
        assert!(watch.may_wait(), "the look began before");
        watch.looked(watch.look(), false);
        assert!(!watch.may_wait(), "the look began after");
    }

    #[test]
    fn who_joined_elsewhere_is_known_once_seen() {
        let watch = WaitlistWatch::default();
        watch.looked(watch.look(), true);
        assert!(watch.may_wait());
    }
}
