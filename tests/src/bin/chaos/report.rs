//! What happened: the faults, how soon after them the services worked as before, the checks, and the violations.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use serde::Serialize;
use teppan_tests::tool::{Align, Table};

use crate::{
    checks::Checked,
    ledger::{Ledger, Violation},
    plan::{Fault, Kind},
    run::Run,
};

/// Entries of a history that are shown.
const HISTORY_MAX: usize = 40;
/// Violations that are shown with their history.
const VIOLATIONS_MAX: usize = 10;

/// A fault that happened.
#[derive(Debug, Serialize)]
pub struct Happened {
    kind: Kind,
    replica: usize,
    variant: bool,
    began_s: f64,
    /// From its begin until its cause was removed.
    lasted_s: f64,
    /// From then until every replica reported that it was ready.
    ready_s: Option<f64>,
    /// Calls per second of booking-service and conversation-service before it.
    before: [f64; 2],
    /// The same while it lasted.
    during: [f64; 2],
    /// From the removal until both services answered as many calls as before.
    recovered_s: Option<f64>,
    failed: Option<String>,
}

impl Happened {
    pub fn of(
        Fault { kind, replica, variant, .. }: Fault,
        [began, healed]: [Duration; 2],
        [before, during]: [[f64; 2]; 2],
        [ready, recovered]: [Option<Duration>; 2],
        failed: Option<String>,
    ) -> Self {
        let (began_s, lasted_s) = (began.as_secs_f64(), healed.saturating_sub(began).as_secs_f64());
        let [ready_s, recovered_s] = [ready, recovered].map(|time| time.map(|time| time.as_secs_f64()));
        Self { kind, replica, variant, began_s, lasted_s, ready_s, before, during, recovered_s, failed }
    }
}

/// The progress line of a fault.
impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { began_s, lasted_s, before, during, .. } = self;
        let [before, during] = [before, during].map(|both| both[0] + both[1]);
        write!(
            f,
            "{began_s:7.1} s  {:18} {lasted_s:5.1} s, {before:5.0}/s before, {during:5.0}/s during",
            self.kind.name()
        )?;
        match (self.ready_s, self.recovered_s) {
            (Some(ready), Some(back)) => write!(f, ", ready after {ready:.1} s, back after {back:.1} s"),
            _ => write!(f, ", not back in time"),
        }
    }
}

/// The result of a run.
#[derive(Serialize)]
pub struct Report {
    seed: u64,
    command: String,
    clients: usize,
    span_s: f64,
    /// Calls that were acknowledged, and Stripe's events that were accepted.
    acknowledged: u64,
    stripe_accepted: u64,
    retries: u64,
    unknown_outcomes: u64,
    quiet_after_s: f64,
    checked_in_s: f64,
    refusals: BTreeMap<String, u64>,
    pub violations: Vec<Violation>,
    #[serde(skip)]
    histories: Vec<String>,
    checks: Vec<Checked>,
    faults: Vec<Happened>,
}

impl Report {
    pub fn of(
        run: &Run,
        ledger: &Ledger,
        faults: Vec<Happened>,
        checks: Vec<Checked>,
        [quiet, checking]: [Duration; 2],
        stripe_accepted: u64,
    ) -> Self {
        let (retries, unknown_outcomes) = ledger.retries_and_unknown();
        let violations = ledger.violations();
        let histories = violations.iter().take(VIOLATIONS_MAX).map(|violation| history(ledger, violation)).collect();
        Self {
            seed: run.seed,
            command: run.command(),
            clients: run.clients,
            span_s: run.span.as_secs_f64(),
            acknowledged: ledger.acknowledged(),
            stripe_accepted,
            retries,
            unknown_outcomes,
            quiet_after_s: quiet.as_secs_f64(),
            checked_in_s: checking.as_secs_f64(),
            refusals: ledger.refusals(),
            violations,
            histories,
            checks,
            faults,
        }
    }

    /// A row for each kind of fault.
    fn faults(&self) -> Table {
        let right = [
            "times",
            "lasted, s",
            "ready after, s: worst",
            "back after, s: median",
            "worst",
            "goodput before, /s",
            "during",
        ];
        let columns = [("fault", Align::Left)].into_iter().chain(right.map(|name| (name, Align::Right)));
        let mut table = Table::new(columns);
        let mut by_kind: BTreeMap<Kind, Vec<&Happened>> = BTreeMap::new();
        for fault in &self.faults {
            by_kind.entry(fault.kind).or_default().push(fault);
        }
        for (kind, faults) in by_kind {
            let sum = |of: &dyn Fn(&Happened) -> f64| faults.iter().map(|fault| of(fault)).sum::<f64>();
            let mean = |of: &dyn Fn(&Happened) -> f64| sum(of) / sum(&|_| 1.0);
            let sorted = |of: &dyn Fn(&Happened) -> Option<f64>| {
                let mut all: Vec<_> = faults.iter().map(|fault| of(fault).unwrap_or(f64::INFINITY)).collect();
                all.sort_by(f64::total_cmp);
                all
            };
            let (ready, back) = (sorted(&|fault| fault.ready_s), sorted(&|fault| fault.recovered_s));
            table.row([
                kind.name(),
                faults.len().to_string(),
                format!("{:.1}", mean(&|fault| fault.lasted_s)),
                format!("{:.1}", ready[ready.len() - 1]),
                format!("{:.1}", back[back.len() / 2]),
                format!("{:.1}", back[back.len() - 1]),
                format!("{:.0}", mean(&|fault| fault.before.iter().sum())),
                format!("{:.0}", mean(&|fault| fault.during.iter().sum())),
            ]);
        }
        table
    }

    fn checks(&self) -> Table {
        let mut table = Table::new([("check", Align::Left), ("looked at", Align::Right), ("violations", Align::Right)]);
        for checked in &self.checks {
            let (looked_at, violations) = (checked.looked_at.to_string(), checked.violations.to_string());
            table.row([checked.check.to_owned(), looked_at, violations]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n{}", self.faults(), self.checks())?;
        let (acknowledged, clients, faults) = (self.acknowledged, self.clients, self.faults.len());
        writeln!(f, "seed {}, {clients} clients, {:.0} s, {faults} faults", self.seed, self.span_s)?;
        writeln!(f, "{acknowledged} calls were acknowledged, and {} of Stripe's events", self.stripe_accepted)?;
        writeln!(
            f,
            "{} attempts were repeated; {} calls ended without an answer",
            self.retries, self.unknown_outcomes
        )?;
        writeln!(f, "everything that follows was done {:.1} s after the last call", self.quiet_after_s)?;
        if self.violations.is_empty() {
            return write!(f, "Every promise was kept.");
        }
        for history in &self.histories {
            writeln!(f, "\n{history}")?;
        }
        writeln!(f, "\n{} VIOLATIONS. The same faults again:\n  {}", self.violations.len(), self.command)
    }
}

/// A violation, and all answers to clients about its subject.
fn history(ledger: &Ledger, violation: &Violation) -> String {
    let mut text = format!("VIOLATION: {}\n  {}", violation.promise, violation.what);
    if violation.subject.is_empty() {
        return text;
    }
    let history = ledger.history(&violation.subject);
    let left_out = history.len().saturating_sub(HISTORY_MAX);
    if left_out > 0 {
        let _ = write!(text, "\n  ({left_out} earlier entries are left out)");
    }
    for entry in history.iter().skip(left_out) {
        let _ = write!(text, "\n  {entry}");
    }
    text
}
