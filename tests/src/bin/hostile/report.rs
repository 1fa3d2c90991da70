//! The results, as a table.

use std::{fmt, time::Duration};

use teppan_tests::tool::{Align, Table};

use crate::{attack::Attack, workload::Served};

/// The result of one attack.
pub struct Outcome {
    pub attack: Attack,
    pub offered_bytes: u64,
    pub grown_mib: u64,
    /// Processor time of the service, as a share of one core.
    pub processor_share: f64,
    pub before: Served,
    pub during: Served,
}

impl Outcome {
    /// The broken bounds.
    fn broken(&self) -> Vec<String> {
        let bounds = self.attack.bounds();
        let mut broken = Vec::new();
        if self.grown_mib > bounds.grown_mib {
            broken.push(format!("memory grew by more than {} MiB", bounds.grown_mib));
        }
        if self.during.share_ok() < bounds.share_ok {
            broken.push(format!("less than {} of the client's calls succeeded", percent(bounds.share_ok)));
        }
        if self.during.per_second() < self.before.per_second() * bounds.share_of_before {
            broken.push(format!("the client's rate was below {} of the rate before", percent(bounds.share_of_before)));
        }
        broken
    }
}

/// The results of all attacks.
#[derive(Default)]
pub struct Report(Vec<Outcome>);

impl Report {
    pub fn add(&mut self, outcome: Outcome) {
        self.0.push(outcome);
    }

    pub fn all_kept(&self) -> bool {
        self.0.iter().all(|outcome| outcome.broken().is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right =
            ["offered, KiB", "memory, MiB", "core", "before, /s", "during, /s", "succeeded", "p99 before", "during"];
        let mut table = Table::new([("attack", Align::Left)].into_iter().chain(right.map(|name| (name, Align::Right))));
        for outcome in &self.0 {
            table.row([
                outcome.attack.name().to_owned(),
                outcome.offered_bytes.div_ceil(1024).to_string(),
                format!("+{}", outcome.grown_mib),
                percent(outcome.processor_share),
                format!("{:.0}", outcome.before.per_second()),
                format!("{:.0}", outcome.during.per_second()),
                percent(outcome.during.share_ok()),
                millis(outcome.before.p99()),
                millis(outcome.during.p99()),
            ]);
        }
        writeln!(f, "{table}")?;
        let broken: Vec<_> =
            self.0.iter().flat_map(|it| it.broken().into_iter().map(|what| (it.attack.name(), what))).collect();
        if broken.is_empty() {
            return write!(f, "Every bound was kept.");
        }
        for (attack, what) in broken {
            writeln!(f, "Bound broken by {attack}: {what}.")?;
        }
        Ok(())
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn millis(span: Duration) -> String {
    format!("{:.0} ms", span.as_secs_f64() * 1000.0)
}
