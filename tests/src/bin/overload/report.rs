//! The results, as a table.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use teppan_tests::tool::{Align, Table, machine::MachineTime};

use crate::{CallName, load::Load, stage::Stage};

/// Bounds at any load.
const GOODPUT_SHARE_MIN: f64 = 0.9;
/// The part of the first peak that remains after each overload. The tables grow meanwhile.
const RECOVERY_SHARE_MIN: f64 = 0.8;
const LATE_SHARE_MAX: f64 = 0.01;
const MEMORY_MIB_MAX: u64 = 256;

/// One measurement.
pub struct Phase {
    load: Load,
    memory_mib: u64,
    /// Processor time of the service, as a share of one core.
    processor_share: f64,
    /// Processor time that the host gave to other machines, in percent.
    stolen: f64,
}

impl Phase {
    pub async fn of(stage: &Stage, began: Option<MachineTime>, load: impl Future<Output = Load>) -> Self {
        let (memory, used) = (stage.watch_memory(), stage.processor_time());
        let load = load.await;
        let used = stage.processor_time().saturating_sub(used);
        let stolen = began.zip(MachineTime::now()).map_or(0.0, |(began, now)| now.stolen_percent_since(began));
        let processor_share = used.as_secs_f64() / load.span.as_secs_f64();
        Self { memory_mib: memory.most_mib(), processor_share, stolen, load }
    }

    /// Calls per second that succeeded within their deadline.
    pub fn goodput(&self) -> f64 {
        count(self.load.ok) / self.load.span.as_secs_f64()
    }

    fn share(&self, calls: u64) -> f64 {
        count(calls) / count(self.load.offered).max(1.0)
    }
}

/// The results of all measurements.
pub struct Report {
    deadline: Duration,
    table: Table,
    broken: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    pub fn new(deadline: Duration) -> Self {
        let right = [
            "offered, /s",
            "goodput, /s",
            "of peak",
            "refused",
            "late",
            "failed",
            "ok p50",
            "p99",
            "refused p50",
            "p99",
            "memory, MiB",
            "core",
            "stolen",
        ];
        let columns = [("call", Align::Left), ("load", Align::Left)];
        let table = Table::new(columns.into_iter().chain(right.map(|name| (name, Align::Right))));
        Self { deadline, table, broken: Vec::new(), failures: Vec::new() }
    }

    /// Adds a measurement. If there is a peak, the bounds are checked against it.
    pub fn add(&mut self, call: CallName, name: &str, phase: &Phase, peak: Option<f64>) {
        let Load { span, offered, refused, late, failed, ref ok_times, ref refusal_times, .. } = phase.load;
        self.table.row([
            format!("{call:?}"),
            name.to_owned(),
            format!("{:.0}", count(offered) / span.as_secs_f64()),
            format!("{:.0}", phase.goodput()),
            peak.map(|peak| percent(phase.goodput() / peak)).unwrap_or_default(),
            percent(phase.share(refused)),
            percent(phase.share(late)),
            failed.to_string(),
            at(ok_times, 0.5),
            at(ok_times, 0.99),
            at(refusal_times, 0.5),
            at(refusal_times, 0.99),
            phase.memory_mib.to_string(),
            percent(phase.processor_share),
            format!("{:.0} %", phase.stolen),
        ]);
        self.failures.extend(phase.load.failure.iter().map(|failure| format!("{call:?}, {name}: {failure}")));
        let Some(peak) = peak else { return };
        let mut broken = |what: String| self.broken.push(format!("{call:?}, {name}: {what}"));
        if phase.goodput() < peak * GOODPUT_SHARE_MIN {
            broken(format!("goodput is below {} of the peak", percent(GOODPUT_SHARE_MIN)));
        }
        if phase.share(late + failed) > LATE_SHARE_MAX {
            broken(format!("more than {} of the calls were late or failed", percent(LATE_SHARE_MAX)));
        }
        if phase.memory_mib > MEMORY_MIB_MAX {
            broken(format!("the service took more than {MEMORY_MIB_MAX} MiB"));
        }
    }

    /// Checks the peak after an overload against the first: this finds a service that loses a little at each overload.
    pub fn check_against_first_peak(&mut self, call: CallName, after: &Phase, first_peak: f64) {
        if after.goodput() < first_peak * RECOVERY_SHARE_MIN {
            let share = percent(RECOVERY_SHARE_MIN);
            self.broken.push(format!("{call:?}: after an overload the peak is below {share} of the first"));
        }
    }

    pub fn all_kept(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Deadline of each call: {} ms\n\n{}", self.deadline.as_millis(), self.table)?;
        for failure in &self.failures {
            writeln!(f, "Failed, {failure}.")?;
        }
        if self.broken.is_empty() {
            return write!(f, "Every bound was kept.");
        }
        for broken in &self.broken {
            writeln!(f, "Bound broken: {broken}.")?;
        }
        Ok(())
    }
}

fn at(times: &Histogram<u64>, quantile: f64) -> String {
    if times.is_empty() {
        return String::new();
    }
    format!("{:.1} ms", Duration::from_micros(times.value_at_quantile(quantile)).as_secs_f64() * 1000.0)
}

fn count(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
