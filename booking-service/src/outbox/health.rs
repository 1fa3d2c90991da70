//! What the deliveries to a destination tell about it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use teppan_shared::outbox::NO_ANSWER;
use tokio::time::Instant;

use crate::domain::Undelivered;

/// So long after a silence nobody who waits for a reply is made to wait for the destination.
const INLINE_REST: Duration = Duration::from_secs(30);

/// Shared by all who deliver to one destination.
#[derive(Default)]
pub struct Health {
    answers: AtomicU64,
    is_away: AtomicBool,
    silent_at: Mutex<Option<Instant>>,
}

impl Health {
    /// How often it answered; what is decided on this side is no answer. When this has not changed while a message
    /// waited, no message was answered.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    /// While it is, one message at a time finds out whether it is back.
    pub fn is_away(&self) -> bool {
        self.is_away.load(Ordering::SeqCst)
    }

    /// Whether it was silent a moment ago and has not answered since.
    pub fn is_doubtful(&self) -> bool {
        self.silent_at().is_some_and(|since| since.elapsed() < INLINE_REST)
    }

    /// Learns from a result whether the destination is there, and blames a silence on whom it concerns: on the
    /// message when the destination answered others while this one waited, else on the destination.
    pub fn judge(
        &self,
        result: Result<(), Undelivered>,
        answers_before: u64,
        is_inline: bool,
    ) -> Result<(), Undelivered> {
        match result {
            // So short a time says little; the relay, which waits longer, finds out.
            Err(Undelivered::Silent) if is_inline => {
                self.doubtful();
                Err(Undelivered::Later(NO_ANSWER.to_owned(), Duration::ZERO))
            }
            Err(Undelivered::Silent) if self.answers() != answers_before => {
                Err(Undelivered::Failed(NO_ANSWER.to_owned()))
            }
            Err(Undelivered::Silent) => {
                self.away();
                Err(Undelivered::Away(NO_ANSWER.to_owned()))
            }
            Err(Undelivered::Away(reason)) => {
                self.away();
                Err(Undelivered::Away(reason))
            }
            answered => {
                self.answered();
                answered
            }
        }
    }

    fn answered(&self) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.is_away.store(false, Ordering::SeqCst);
        *self.silent_at() = None;
    }

    fn away(&self) {
        self.is_away.store(true, Ordering::SeqCst);
        self.doubtful();
    }

    fn doubtful(&self) {
        *self.silent_at() = Some(Instant::now());
    }

    fn silent_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
