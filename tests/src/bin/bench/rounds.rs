//! Rounds of a measurement, those left out in which the machine had little time for it.

use std::{fmt, time::Duration};

use serde::Serialize;
use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::tool::machine::{self, MachineTime};

use crate::error::BenchError;

/// When the host of this machine gave more of its processor time to other machines, in percent, the round says more
/// about them: it is made again.
pub const STOLEN_PERCENT_MAX: f64 = 2.0;
/// The same of programs of this machine that are not part of the benchmark. The kernel's own work is about 2 %.
pub const OTHERS_PERCENT_MAX: f64 = 6.0;

/// Watches how much of the machine's processor time others take.
pub struct Watch {
    /// This process, which has started the services and pgbench, and PostgreSQL.
    ours: Vec<u32>,
}

/// Processor time at a moment.
pub struct Moment {
    machine: MachineTime,
    ours: Duration,
}

/// What others took of the machine's processor time, in percent.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Taken {
    /// By other machines on the same host.
    pub stolen_percent: f64,
    /// By other programs of this machine.
    pub others_percent: f64,
}

impl Watch {
    pub fn over(server: &ThrowawayServer) -> Self {
        Self { ours: std::iter::once(std::process::id()).chain(server.pid()).collect() }
    }

    pub fn now(&self) -> Option<Moment> {
        Some(Moment { machine: MachineTime::now()?, ours: machine::cpu_of_trees(&self.ours)? })
    }

    pub fn since(&self, earlier: &Moment) -> Option<Taken> {
        let now = self.now()?;
        Some(Taken {
            stolen_percent: now.machine.stolen_percent_since(earlier.machine),
            others_percent: now.machine.others_percent_since(earlier.machine, now.ours.saturating_sub(earlier.ours)),
        })
    }
}

impl Taken {
    /// How many times as much as is tolerated.
    fn excess(self) -> f64 {
        (self.stolen_percent / STOLEN_PERCENT_MAX).max(self.others_percent / OTHERS_PERCENT_MAX)
    }
}

/// What was measured, round by round, and under what conditions.
pub struct Rounds<T> {
    pub measured: Vec<T>,
    pub disturbance: Disturbance,
}

/// What became of rounds that others disturbed.
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
    /// Makes `count` rounds, and up to a third more in the place of those that were disturbed. Where these are not
    /// enough, the least disturbed count. Each round is told which it is.
    pub async fn make(
        name: &str,
        count: usize,
        watch: &Watch,
        mut round: impl AsyncFnMut(Round) -> Result<T, BenchError>,
    ) -> Result<Self, BenchError> {
        let (mut calm, mut disturbed) = (Vec::new(), Vec::new());
        for number in 0..most(count) {
            eprintln!("{name}: round {} of {count}{}", calm.len() + 1, again(disturbed.len()));
            let begun = watch.now();
            let measured = round(Round { number, place: calm.len() }).await?;
            let excess = begun.and_then(|begun| watch.since(&begun)).map_or(0.0, Taken::excess);
            if excess > 1.0 {
                disturbed.push((excess, measured));
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
    count + count / 3
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
        write!(
            f,
            "  DISTURBED: others took more than {OTHERS_PERCENT_MAX} % of the machine's time, or other machines "
        )?;
        write!(f, "more than {STOLEN_PERCENT_MAX} % of its host's, in ")?;
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
