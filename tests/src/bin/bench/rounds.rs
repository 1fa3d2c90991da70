//! Rounds of a measurement, those left out in which the machine had little time for it.

use std::fmt;

use serde::Serialize;
use teppan_tests::tool::machine::MachineTime;

use crate::error::BenchError;

/// When the host of this machine gave more of its processor time to others, in percent, the round says more about
/// them: it is made again.
const STOLEN_PERCENT_MAX: f64 = 2.0;

/// What was measured, round by round, and under what conditions.
pub struct Rounds<T> {
    pub measured: Vec<T>,
    pub disturbance: Disturbance,
}

/// What became of rounds that the host disturbed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Disturbance {
    /// Others were made in their place, or were disturbed less.
    pub left_out: usize,
    /// Counted: too many were disturbed.
    pub counted: usize,
}

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Of all that are made.
    pub number: usize,
    /// Of those that count, when nothing disturbs it: in even ones one order, in odd ones the other.
    pub place: usize,
}

impl<T> Rounds<T> {
    /// Makes `count` rounds, and up to as many more in the place of those that were disturbed. Where these are not
    /// enough, the least disturbed count. Each round is told which it is.
    pub async fn make(
        name: &str,
        count: usize,
        mut round: impl AsyncFnMut(Round) -> Result<T, BenchError>,
    ) -> Result<Self, BenchError> {
        let (mut calm, mut disturbed) = (Vec::new(), Vec::new());
        for number in 0..most(count) {
            eprintln!("{name}: round {} of {count}{}", calm.len() + 1, again(disturbed.len()));
            let begun = MachineTime::now();
            let measured = round(Round { number, place: calm.len() }).await?;
            let stolen = MachineTime::now().zip(begun).map_or(0.0, |(now, begun)| now.stolen_percent_since(begun));
            if stolen > STOLEN_PERCENT_MAX {
                disturbed.push((stolen, measured));
            } else {
                calm.push(measured);
            }
            if calm.len() == count {
                break;
            }
        }
        Ok(Self::choose(count, calm, disturbed))
    }

    fn choose(count: usize, calm: Vec<T>, mut disturbed: Vec<(f64, T)>) -> Self {
        disturbed.sort_by(|one, other| one.0.total_cmp(&other.0));
        let counted = count.saturating_sub(calm.len()).min(disturbed.len());
        let disturbance = Disturbance { left_out: disturbed.len() - counted, counted };
        let least = disturbed.into_iter().take(counted).map(|(_, measured)| measured);
        Self { measured: calm.into_iter().chain(least).collect(), disturbance }
    }
}

/// How many rounds are made at most where so many are to count.
pub fn most(count: usize) -> usize {
    count * 2
}

fn again(disturbed: usize) -> String {
    if disturbed == 0 { String::new() } else { format!(" ({disturbed} disturbed)") }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left_out, counted } = self;
        if left_out + counted == 0 {
            return Ok(());
        }
        write!(f, "  The machine's host gave more than {STOLEN_PERCENT_MAX} % of its time to others in ")?;
        writeln!(f, "{} rounds: {left_out} are left out, {counted} are counted.", left_out + counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_rounds_count_only_where_there_are_too_few_others_and_then_the_least_disturbed() {
        let rounds = Rounds::choose(3, vec!["calm"], vec![(9.0, "much"), (3.0, "little"), (5.0, "more")]);
        assert_eq!(rounds.measured, ["calm", "little", "more"]);
        assert_eq!((rounds.disturbance.left_out, rounds.disturbance.counted), (1, 2));
        let rounds = Rounds::choose(1, vec!["calm"], vec![(3.0, "little")]);
        assert_eq!((rounds.measured, rounds.disturbance.left_out), (vec!["calm"], 1));
    }
}
