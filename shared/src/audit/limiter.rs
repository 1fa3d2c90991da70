//! The rate limiter for audit lines that unauthenticated callers can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most lines a second; further lines are only counted.
const PER_SECOND: u32 = 10;

/// Admits a number of lines a second, and counts the others.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Limiter {
    /// `Some` if a line may be written, with the number of lines that were suppressed since the last one.
    pub fn admit(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| began.elapsed() >= Duration::from_secs(1)) {
            window.began = Some(Instant::now());
            window.lines = 0;
        }
        if window.lines >= PER_SECOND {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_are_admitted_and_the_next_one_states_how_many_were_suppressed() {
        let limiter = Limiter::default();
        assert_eq!((0..100).filter_map(|_| limiter.admit()).count(), 10);
        limiter.0.lock().expect("no panic").began = Instant::now().checked_sub(Duration::from_secs(1));
        assert_eq!((limiter.admit(), limiter.admit()), (Some(90), Some(0)));
    }
}
