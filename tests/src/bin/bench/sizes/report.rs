//! What was measured at each size.

use std::fmt;

use serde::Serialize;

use super::{Plan, grouped};
use crate::{
    comparison::{cell, cpu, row},
    measured::Measured,
    rounds::{Disturbance, Rounds},
    sample::{Figures, Spread},
};

/// How much longer than its bare statement a call may take.
const RATIO_MAX: f64 = 1.6;
/// How much longer a call may take in the largest database than in the smallest.
const GROWTH_MAX: f64 = 1.2;

/// A call, all rounds at all sizes.
#[derive(Serialize)]
pub struct SizedReport {
    pub name: &'static str,
    /// What there are so many of.
    pub what: &'static str,
    pub sizes: Vec<AtSize>,
    growth: Option<Growth>,
    pub disturbance: Disturbance,
}

/// Both sides at each size, in one round.
pub type AtAllSizes = Vec<(Measured, Measured)>;

/// All rounds of both sides at one size.
#[derive(Serialize)]
pub struct AtSize {
    pub count: u32,
    pub pgbench: Vec<Measured>,
    pub grpc: Vec<Measured>,
    /// gRPC to pgbench, round by round: p50, p95, p99, calls a second.
    ratios: [Spread; 4],
    /// Whether p50 is within [`RATIO_MAX`].
    met: bool,
}

/// p50 in the largest database to p50 in the smallest, round by round.
#[derive(Serialize)]
struct Growth {
    pgbench: Spread,
    grpc: Spread,
    /// Whether gRPC's is within [`GROWTH_MAX`].
    met: bool,
}

/// What is taken out of the figures.
type Figure = fn(&Figures) -> f64;

/// The columns: what each is called, and its digits.
const COLUMNS: [(&str, usize, Figure); 4] = [
    ("p50 ms", 3, |figures| figures.p50_ms),
    ("p95 ms", 3, |figures| figures.p95_ms),
    ("p99 ms", 2, |figures| figures.p99_ms),
    ("calls/s", 0, |figures| figures.per_second),
];

impl SizedReport {
    /// `None` when there was no round.
    pub fn new(name: &'static str, what: &'static str, sizes: &[u32], rounds: &Rounds<AtAllSizes>) -> Option<Self> {
        let at = |(n, &count): (usize, &u32)| {
            let (bare, grpc) = rounds.measured.iter().filter_map(|round| round.get(n).copied()).unzip();
            AtSize::new(count, bare, grpc)
        };
        let sizes = sizes.iter().enumerate().map(at).collect::<Option<Vec<_>>>()?;
        let growth = Growth::between(sizes.first()?, sizes.last()?);
        Some(Self { name, what, sizes, growth, disturbance: rounds.disturbance })
    }

    pub fn all_met(&self) -> bool {
        self.sizes.iter().all(|size| size.met) && self.growth.as_ref().is_none_or(|growth| growth.met)
    }
}

impl AtSize {
    fn new(count: u32, pgbench: Vec<Measured>, grpc: Vec<Measured>) -> Option<Self> {
        let [p50, p95, p99, per_second] = COLUMNS.map(|(_, _, of)| ratio(&grpc, &pgbench, of));
        let ratios = [p50?, p95?, p99?, per_second?];
        let met = ratios[0].median <= RATIO_MAX;
        Some(Self { count, pgbench, grpc, ratios, met })
    }
}

impl Growth {
    /// `None` of one size with itself.
    fn between(small: &AtSize, large: &AtSize) -> Option<Self> {
        if small.count == large.count {
            return None;
        }
        let p50 = |figures: &Figures| figures.p50_ms;
        let pgbench = ratio(&large.pgbench, &small.pgbench, p50)?;
        let grpc = ratio(&large.grpc, &small.grpc, p50)?;
        Some(Self { pgbench, grpc, met: grpc.median <= GROWTH_MAX })
    }
}

/// Round by round, so that what came over a round of both does not count.
fn ratio(of: &[Measured], to: &[Measured], figure: Figure) -> Option<Spread> {
    Spread::of(of.iter().zip(to).map(|(of, to)| figure(&of.figures) / figure(&to.figures)))
}

impl fmt::Display for SizedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        for size in &self.sizes {
            write!(f, "{size}")?;
        }
        for size in &self.sizes {
            let (count, what) = (grouped(size.count), self.what);
            writeln!(f, "  target: p50 at most {RATIO_MAX} times pgbench's at {count} {what}: {}", verdict(size.met))?;
        }
        if let Some(Growth { pgbench, grpc, met }) = &self.growth {
            let (grpc, pgbench) = (cell(*grpc, 2), cell(*pgbench, 2));
            writeln!(f, "  p50, largest to smallest: gRPC {grpc}, pgbench {pgbench}")?;
            writeln!(f, "  target: gRPC's at most {GROWTH_MAX} times: {}", verdict(*met))?;
        }
        write!(f, "{}", self.disturbance)
    }
}

impl fmt::Display for AtSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, " at {}:", grouped(self.count))?;
        for (side, rounds) in [("pgbench", &self.pgbench), ("gRPC", &self.grpc)] {
            let cells = COLUMNS.map(|(_, digits, of)| {
                Spread::of(rounds.iter().map(|round| of(&round.figures))).map(|spread| cell(spread, digits))
            });
            writeln!(f, "{}", row(side, &cells, cpu(rounds).as_deref()))?;
        }
        writeln!(f, "{}", row("gRPC / pgbench", &self.ratios.map(|ratio| Some(cell(ratio, 2))), None))
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// What stands above the calls.
pub fn heading(plan: &Plan<'_>) -> String {
    let all = |sizes: &[u32]| sizes.iter().map(|size| grouped(*size)).collect::<Vec<_>>().join(" and ");
    let titles = COLUMNS.map(|(title, ..)| Some(title.to_owned()));
    format!(
        "Databases with {} bookings, or {} messages, taking turns.\n\
         pgbench is answered in text and decodes nothing, gRPC's figures have binary answers, encoding, and decoding at \
         the client in them.\n{}",
        all(&plan.bookings),
        all(&plan.messages),
        row("", &titles, Some("CPU µs a call: service, PostgreSQL, client"))
    )
}
