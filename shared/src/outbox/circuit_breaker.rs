//! The circuit breaker of a destination: it opens and closes by the results of deliveries.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{NO_ANSWER, Undelivered};

/// After a timeout, no reply waits for the destination for this long.
const INLINE_PAUSE: Duration = Duration::from_secs(30);

/// Shared by all relays of one destination.
#[derive(Default)]
pub(super) struct CircuitBreaker {
    answers: AtomicU64,
    is_open: AtomicBool,
    timed_out_at: Mutex<Option<Instant>>,
}

impl CircuitBreaker {
    /// How often the destination has answered. Results that the relay decides itself do not count. If the number does
    /// not change while a delivery is running, no other message was answered meanwhile.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    /// While the breaker is open, one message at a time tests whether the destination is available again.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// Whether the destination timed out recently and has not answered since.
    pub fn is_doubtful(&self) -> bool {
        self.timed_out_at().is_some_and(|since| since.elapsed() < INLINE_PAUSE)
    }

    /// Opens or closes the breaker by a result, and decides the cause of a timeout. The cause is the message if the
    /// destination answered other messages meanwhile, otherwise the destination.
    pub fn judge(
        &self,
        result: Result<(), Undelivered>,
        answers_before: u64,
        is_inline: bool,
    ) -> Result<(), Undelivered> {
        match result {
            // An inline delivery waits too briefly to open the breaker. The relay waits longer and decides.
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
    fn a_timeout_opens_the_circuit_breaker_unless_the_destination_answered_other_messages_meanwhile() {
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
    fn an_inline_timeout_leaves_the_circuit_breaker_closed_but_stops_other_replies_from_waiting() {
        let breaker = CircuitBreaker::default();
        let postponed = Err(Undelivered::Postponed(NO_ANSWER.to_owned(), Duration::ZERO));
        assert_eq!(breaker.judge(TIMED_OUT, breaker.answers(), true), postponed);
        assert!(!breaker.is_open() && breaker.is_doubtful());
    }
}
