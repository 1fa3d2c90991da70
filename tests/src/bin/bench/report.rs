//! What was measured, to read and as JSON.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{
    beside::BesideReport,
    case::{Case, CpuPerCall, Measured, Target},
    error::BenchError,
    rounds::{Disturbance, Rounds},
    sample::{Figures, Spread},
    sizes::SizedReport,
};

/// The whole run.
#[derive(Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub hot: Option<HotReport>,
    pub sizes: Vec<SizedReport>,
    pub beside: Vec<BesideReport>,
    /// Of the machine's processor time, what its host gave to others during the run. It makes everything slower,
    /// and ratios less certain.
    pub stolen_percent: Option<f64>,
}

/// The hot calls.
#[derive(Serialize)]
pub struct HotReport {
    pub environment: Environment,
    pub services: Vec<ServiceFigures>,
    pub empty_calls: Vec<EmptyCall>,
    pub cases: Vec<CaseReport>,
}

/// Under what conditions it was measured.
#[derive(Serialize)]
pub struct Environment {
    pub postgres: String,
    pub pgbench: String,
    pub fsync: String,
    pub synchronous_commit: String,
    pub durable: bool,
    pub optimised: bool,
    pub cores: usize,
    pub rounds: usize,
    pub seconds: u64,
    pub warm_up_seconds: u64,
    pub http2_connections: usize,
    pub max_connections: String,
}

/// What a service costs when nobody calls it.
#[derive(Serialize)]
pub struct ServiceFigures {
    pub name: &'static str,
    pub idle_mb: Option<f64>,
    pub after_load_mb: Option<f64>,
    pub serving_ms: Option<Spread>,
}

/// A call that does nothing: what gRPC itself costs.
#[derive(Serialize)]
pub struct EmptyCall {
    pub clients: usize,
    #[serde(flatten)]
    pub figures: Figures,
}

/// One case: all rounds of both sides.
#[derive(Serialize)]
pub struct CaseReport {
    pub name: String,
    pub pgbench: Vec<Measured>,
    pub grpc: Vec<Measured>,
    /// gRPC to pgbench, round by round.
    pub p50_ratio: Spread,
    pub p99_ratio: Spread,
    pub per_second_ratio: Spread,
    pub target: Option<Target>,
    pub met: Option<bool>,
    pub disturbance: Disturbance,
}

impl CaseReport {
    /// `None` when there was no round.
    pub fn new(case: &Case, rounds: Rounds<(Measured, Measured)>) -> Option<Self> {
        let disturbance = rounds.disturbance;
        let (pgbench, grpc): (Vec<_>, Vec<_>) = rounds.measured.into_iter().unzip();
        let ratio = |of: fn(&Figures) -> f64| {
            Spread::of(pgbench.iter().zip(&grpc).map(|(bare, grpc)| of(&grpc.figures) / of(&bare.figures)))
        };
        let p50_ratio = ratio(|figures| figures.p50_ms)?;
        let p99_ratio = ratio(|figures| figures.p99_ms)?;
        let per_second_ratio = ratio(|figures| figures.per_second)?;
        let met = case.target.map(|target| match target {
            Target::P50AtMost(most) => p50_ratio.median <= most,
            Target::PerSecondAtLeast(least) => per_second_ratio.median >= least,
        });
        let target = case.target;
        let name = case.name();
        Some(Self { name, pgbench, grpc, p50_ratio, p99_ratio, per_second_ratio, target, met, disturbance })
    }
}

impl Report {
    /// Prints how disturbed the run was, and writes everything to the file that was asked for.
    pub fn finish(&self, json: Option<&Path>) -> Result<(), BenchError> {
        if let Some(percent) = self.stolen_percent {
            println!("Of this machine's processor time its host gave {percent:.0} % to others during the run.");
        }
        let Some(path) = json else { return Ok(()) };
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::other).map_err(BenchError::file(path))?;
        std::fs::write(path, json).map_err(BenchError::file(path))
    }

    pub fn all_met(&self) -> bool {
        let hot = self.hot.iter().flat_map(|hot| &hot.cases);
        hot.map(|case| case.met != Some(false)).chain(self.sizes.iter().map(SizedReport::all_met)).all(|met| met)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fsync, commit) = (&self.fsync, &self.synchronous_commit);
        writeln!(f, "{}; {}; {} cores for everything", self.postgres, self.pgbench, self.cores)?;
        if self.durable {
            writeln!(f, "Commits are durable: fsync {fsync}, synchronous_commit {commit}.")?;
        } else {
            writeln!(f, "COMMITS ARE NOT DURABLE: fsync {fsync}, synchronous_commit {commit}.")?;
        }
        if !self.optimised {
            writeln!(f, "THIS BUILD IS NOT OPTIMISED: its figures mean nothing (use `make bench`).")?;
        }
        writeln!(
            f,
            "Rounds of pgbench, then gRPC: {}; {} s each after {} s of warm-up; before each, outside of the time: VACUUM \
             (ANALYZE), CHECKPOINT.",
            self.rounds, self.seconds, self.warm_up_seconds
        )?;
        writeln!(
            f,
            "gRPC: {} HTTP/2 connections at most, {} statement connections a service. pgbench: prepared, a connection a \
             client.",
            self.http2_connections, self.max_connections
        )?;
        writeln!(f, "Figures are the median of the rounds [lowest – highest].")
    }
}

impl fmt::Display for ServiceFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |mb: Option<f64>| mb.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.1} MB"));
        write!(f, "  {:<21} {} idle (target: under 40 MB)", self.name, mb(self.idle_mb))?;
        if let Some(after) = self.after_load_mb {
            write!(f, ", {} after the load", mb(Some(after)))?;
        }
        if let Some(serving) = &self.serving_ms {
            write!(
                f,
                "; SERVING {:.0} [{:.0} – {:.0}] ms after its start (target: well under 1,000)",
                serving.median, serving.min, serving.max
            )?;
        }
        writeln!(f)
    }
}

impl fmt::Display for EmptyCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { p50_ms, p99_ms, per_second, .. } = self.figures;
        let clients = self.clients;
        writeln!(f, "  clients: {clients:>2}, p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, {per_second:.0} calls/s")
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        write_side(f, "pgbench", &self.pgbench)?;
        write_side(f, "gRPC", &self.grpc)?;
        let ratios = [self.p50_ratio, self.p99_ratio, self.per_second_ratio];
        writeln!(f, "{}", row("gRPC / pgbench", &ratios.map(|ratio| Some(cell(ratio, 2))), None))?;
        if let (Some(target), Some(met)) = (self.target, self.met) {
            let (what, limit) = match target {
                Target::P50AtMost(most) => ("p50 at most", most),
                Target::PerSecondAtLeast(least) => ("calls/s at least", least),
            };
            writeln!(f, "  target: {what} {limit:.2} times pgbench's: {}", if met { "met" } else { "MISSED" })?;
        }
        write!(f, "{}", self.disturbance)
    }
}

/// What stands above the cases.
pub fn heading() -> String {
    let titles = ["p50 ms", "p99 ms", "calls/s"].map(|title| Some(title.to_owned()));
    row("", &titles, Some("CPU µs a call: service, PostgreSQL, client"))
}

fn write_side(f: &mut fmt::Formatter<'_>, side: &str, rounds: &[Measured]) -> fmt::Result {
    let spread = |of: fn(&Figures) -> f64| Spread::of(rounds.iter().map(|round| of(&round.figures)));
    let cells = [
        spread(|figures| figures.p50_ms).map(|spread| cell(spread, 3)),
        spread(|figures| figures.p99_ms).map(|spread| cell(spread, 2)),
        spread(|figures| figures.per_second).map(|spread| cell(spread, 0)),
    ];
    writeln!(f, "{}", row(side, &cells, cpu(rounds).as_deref()))
}

pub fn cpu(rounds: &[Measured]) -> Option<String> {
    let median = |of: fn(&CpuPerCall) -> f64| Spread::of(rounds.iter().filter_map(|round| round.cpu.as_ref().map(of)));
    let service = median(|cpu| cpu.service_us)?.median;
    let postgres = median(|cpu| cpu.postgres_us)?.median;
    let client = median(|cpu| cpu.client_us)?.median;
    Some(format!("{service:>7.0} {postgres:>6.0} {client:>6.0}"))
}

pub fn cell(Spread { median, min, max }: Spread, digits: usize) -> String {
    format!("{median:.digits$} [{min:.digits$} – {max:.digits$}]")
}

pub fn row(title: &str, cells: &[Option<String>], last: Option<&str>) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{:<24}", cell.as_deref().unwrap_or("–"))).collect();
    let cells = cells.join("  ");
    format!("  {title:<14}  {cells}  {}", last.unwrap_or_default()).trim_end().to_owned()
}
