//! What the results of deliveries say about their destination.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{NO_ANSWER, Undelivered};

/// For so long after a timeout no reply waits for the destination.
const INLINE_REST: Duration = Duration::from_secs(30);

/// Shared by all relays of one destination.
#[derive(Default)]
pub(super) struct CircuitBreaker {
    answers: AtomicU64,
    is_open: AtomicBool,
    timed_out_at: Mutex<Option<Instant>>,
}

impl CircuitBreaker {
    /// How often the destination answered. A decision of this side is no answer. If the number has not changed while
    /// a message waited, no other message was answered meanwhile.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    /// While it is open, one message at a time tests whether the destination is back.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// Whether the destination timed out a moment ago and has not answered since.
    pub fn is_doubtful(&self) -> bool {
        self.timed_out_at().is_some_and(|since| since.elapsed() < INLINE_REST)
    }

    /// Opens or closes by a result, and returns who is to blame for a timeout: the message when the destination
    /// answered others while this one waited, otherwise the destination.
    pub fn judge(
        &self,
        result: Result<(), Undelivered>,
        answers_before: u64,
        is_inline: bool,
    ) -> Result<(), Undelivered> {
        match result {
            // An inline delivery has too little time to open the breaker; the relay, which waits longer, decides.
            Err(Undelivered::TimedOut) if is_inline => {
                self.doubt();
                Err(Undelivered::Postponed(NO_ANSWER.to_owned(), Duration::ZERO))
            }
            Err(Undelivered::TimedOut) if self.answers() != answers_before => {
                Err(Undelivered::Failed(NO_ANSWER.to_owned()))
            }
            Err(Undelivered::TimedOut) => {
                self.open();
                Err(Undelivered::Unavailable(NO_ANSWER.to_owned()))
            }
            Err(Undelivered::Unavailable(reason)) => {
                self.open();
                Err(Undelivered::Unavailable(reason))
            }
            answered => {
                self.close();
                answered
            }
        }
    }

    fn close(&self) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.is_open.store(false, Ordering::SeqCst);
        *self.timed_out_at() = None;
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.doubt();
    }

    fn doubt(&self) {
        *self.timed_out_at() = Some(Instant::now());
    }

    fn timed_out_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.timed_out_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMED_OUT: Result<(), Undelivered> = Err(Undelivered::TimedOut);

    #[test]
    fn a_timeout_opens_it_unless_others_were_answered_meanwhile() {
        let breaker = CircuitBreaker::default();
        let before = breaker.answers();
        assert_eq!(breaker.judge(TIMED_OUT, before, false), Err(Undelivered::Unavailable(NO_ANSWER.to_owned())));
        assert!(breaker.is_open() && breaker.is_doubtful());
        assert_eq!(breaker.judge(Ok(()), before, false), Ok(()));
        assert!(!breaker.is_open() && !breaker.is_doubtful());
        assert_eq!(breaker.judge(TIMED_OUT, before, false), Err(Undelivered::Failed(NO_ANSWER.to_owned())));
        assert!(!breaker.is_open());
    }

    #[test]
    fn an_inline_timeout_keeps_it_closed_and_other_replies_from_waiting() {
        let breaker = CircuitBreaker::default();
        let postponed = Err(Undelivered::Postponed(NO_ANSWER.to_owned(), Duration::ZERO));
        assert_eq!(breaker.judge(TIMED_OUT, breaker.answers(), true), postponed);
        assert!(!breaker.is_open() && breaker.is_doubtful());
    }
}
