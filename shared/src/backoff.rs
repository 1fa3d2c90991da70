//! Pauses between attempts.

use std::time::Duration;

use rand::Rng as _;

/// Pauses that double from the first to the longest. They have jitter, so that processes that failed together do not
/// retry together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after this many failures: between half and all of [`Backoff::bound`].
    pub fn after(self, failures: u32) -> Duration {
        jittered(self.bound(failures))
    }

    /// The longest possible pause after this many failures.
    pub fn bound(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// A random duration between half and all of this one.
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));

    #[test]
    fn bounds_double_up_to_the_longest() {
        let seconds = |failures| BACKOFF.bound(failures).as_secs();
        assert_eq!([0, 1, 2, 3, 9, 10, u32::MAX].map(seconds), [1, 1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn pauses_are_between_half_and_all_of_the_bound() {
        for failures in 0..40 {
            let (pause, bound) = (BACKOFF.after(failures), BACKOFF.bound(failures));
            assert!(pause >= bound / 2 && pause <= bound, "{pause:?} of {bound:?}");
        }
    }
}
