//! Rate limiter for audit lines that unauthenticated callers can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in one second; more are counted.
const PER_SECOND: u32 = 10;

/// Lets so many lines through, and counts the others.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Limiter {
    /// When a line may be written: how many were not, since the last one that was.
    pub fn now(&self) -> Option<u64> {
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
    fn a_second_has_ten_lines_and_the_next_one_tells_how_many_were_left_out() {
        let limiter = Limiter::default();
        assert_eq!((0..100).filter_map(|_| limiter.now()).count(), 10);
        limiter.0.lock().expect("no panic").began = Instant::now().checked_sub(Duration::from_secs(1));
        assert_eq!((limiter.now(), limiter.now()), (Some(90), Some(0)));
    }
}
