//! Runs the cases of a seed one after another, and shrinks the first that disagrees.

use std::{fmt, time::Duration};

use futures::{StreamExt as _, stream};

use super::{
    run::{Case, run},
    shrink::{Shrunk, shrink},
    strategy::OPERATIONS_OF_A_CASE,
    tally::Tally,
};

/// A run. The same seed and number of operations make the same calls.
#[derive(Debug, Clone, Copy)]
pub struct Drive {
    pub seed: u64,
    pub operations: usize,
    /// Run only this case of the seed.
    pub case: Option<u64>,
    /// Concurrent cases, each with its own replicas and database.
    pub at_once: usize,
    /// How long a disagreeing case is shrunk.
    pub shrink_for: Duration,
}

/// A case in which model and service disagree, and the smallest such case that was found.
#[derive(Debug)]
pub struct Disagreement {
    pub drive: Drive,
    pub case: u64,
    pub shrunk: Shrunk,
}

impl Drive {
    /// Runs all cases until the first disagreement, and reports the tally after each.
    ///
    /// # Errors
    /// The disagreement.
    pub async fn go(self, mut progress: impl FnMut(&Tally)) -> Result<Tally, Box<Disagreement>> {
        let count = self.operations.div_ceil(OPERATIONS_OF_A_CASE).max(1) as u64;
        let cases = self.case.map_or(0..count, |case| case..case + 1);
        let runs = cases.map(|case| async move { (case, run(&Case::of(self, case)).await) });
        let mut runs = stream::iter(runs).buffer_unordered(self.at_once);
        let mut tally = Tally::default();
        let failed = loop {
            match runs.next().await {
                None => return Ok(tally),
                Some((_, Ok(done))) => {
                    tally.add(done);
                    progress(&tally);
                }
                Some((case, Err(failure))) => break (case, failure),
            }
        };
        drop(runs);
        let (case, failure) = failed;
        // Boxed, because the future is large.
        let shrunk = Box::pin(shrink(self, case, failure)).await;
        Err(Box::new(Disagreement { drive: self, case, shrunk }))
    }

    /// The last case has the remaining operations.
    pub(super) fn size(self, case: u64) -> usize {
        let before = usize::try_from(case).unwrap_or(usize::MAX).saturating_mul(OPERATIONS_OF_A_CASE);
        self.operations.saturating_sub(before).clamp(1, OPERATIONS_OF_A_CASE)
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { drive, case, shrunk } = self;
        let Drive { seed, operations, .. } = drive;
        writeln!(
            f,
            "Model and service disagree in case {case} of seed {seed}; after {} attempts to shrink",
            shrunk.attempts
        )?;
        writeln!(
            f,
            "it, these steps remain (from beginning {}, floors {:?}):",
            shrunk.case.beginning, shrunk.case.floors
        )?;
        for (n, step) in (1..).zip(&shrunk.case.steps) {
            writeln!(f, "  {n}. {step:?}")?;
        }
        writeln!(f, "{}", shrunk.failure)?;
        write!(f, "Replay: make model SEED={seed} OPERATIONS={operations} OPTIONS='--case {case}'")
    }
}
