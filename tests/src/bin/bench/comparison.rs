//! What several sides measured in turn, and how the last of them stands to the others.

use std::fmt;

use serde::Serialize;

use crate::{
    measured::{CpuPerCall, Measured},
    rounds::{Disturbance, Rounds},
    sample::{Figures, Spread},
};

/// What is measured: its name, and the point that it is in a plot.
#[derive(Debug, Clone, Serialize)]
pub struct Subject {
    pub name: String,
    /// The plot: all comparisons of a group are one.
    pub group: String,
    pub x: f64,
}

/// What the last side is to reach, compared with another one.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Target {
    pub than: &'static str,
    pub bound: Bound,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    P50AtMostTimes(f64),
    P50AtMostMsMore(f64),
    P99AtMostTimes(f64),
    PerSecondAtLeastTimes(f64),
}

/// One case: all rounds of all sides.
#[derive(Serialize)]
pub struct Comparison {
    #[serde(flatten)]
    pub subject: Subject,
    pub sides: Vec<SideReport>,
    /// The last side to each of the others.
    pub ratios: Vec<Ratio>,
    pub targets: Vec<Verdict>,
    pub disturbance: Disturbance,
}

/// All rounds of one side.
#[derive(Serialize)]
pub struct SideReport {
    pub side: &'static str,
    pub rounds: Vec<Measured>,
}

/// One side to another one, round by round.
#[derive(Serialize)]
pub struct Ratio {
    pub to: &'static str,
    pub p50: Spread,
    pub p99: Spread,
    pub per_second: Spread,
    /// The difference, not the ratio.
    pub p50_ms_more: Spread,
}

/// Whether a target is met.
#[derive(Serialize)]
pub struct Verdict {
    #[serde(flatten)]
    pub target: Target,
    pub found: f64,
    pub met: bool,
}

type Figure = fn(&Figures) -> f64;

impl Comparison {
    /// Each round has a measurement of every side, in their order. `None` when there was no round, or no side.
    pub fn new(
        subject: Subject,
        sides: &[&'static str],
        targets: Vec<Target>,
        rounds: &Rounds<Vec<Measured>>,
    ) -> Option<Self> {
        let disturbance = rounds.disturbance;
        let sides: Vec<SideReport> = sides
            .iter()
            .enumerate()
            .map(|(n, side)| SideReport {
                side,
                rounds: rounds.measured.iter().filter_map(|round| round.get(n).copied()).collect(),
            })
            .collect();
        let (last, others) = sides.split_last()?;
        let ratios = others.iter().map(|other| Ratio::of(last, other)).collect::<Option<Vec<_>>>()?;
        let targets = targets.into_iter().filter_map(|target| Verdict::of(target, &ratios)).collect();
        Some(Self { subject, sides, ratios, targets, disturbance })
    }

    pub fn all_met(&self) -> bool {
        self.targets.iter().all(|target| target.met)
    }
}

impl SideReport {
    pub fn spread(&self, of: Figure) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| of(&round.figures)))
    }

    /// Medians and spread of p50, p99 and calls a second.
    pub fn cells(&self) -> [Option<String>; 3] {
        [
            self.spread(|figures| figures.p50_ms).map(|spread| cell(spread, 3)),
            self.spread(|figures| figures.p99_ms).map(|spread| cell(spread, 2)),
            self.spread(|figures| figures.per_second).map(|spread| cell(spread, 0)),
        ]
    }

    /// What the columns do not say: processor time, and of an open loop the calls that were not served in time.
    pub fn remark(&self) -> Option<String> {
        let offered = Spread::of(self.rounds.iter().filter_map(|round| Some(round.open?.offered_per_second)));
        let Some(offered) = offered else { return cpu(&self.rounds) };
        let percent = |of: fn(&crate::measured::OpenFigures) -> f64| {
            Spread::of(self.rounds.iter().filter_map(|round| round.open.as_ref().map(of))).map_or(0.0, |it| it.median)
        };
        let (refused, late) = (percent(|open| open.refused_percent), percent(|open| open.late_percent));
        Some(format!("offered {:.0}/s, refused {refused:.1} %, late {late:.1} %", offered.median))
    }
}

impl Ratio {
    fn of(side: &SideReport, other: &SideReport) -> Option<Self> {
        let pairs = || side.rounds.iter().zip(&other.rounds);
        let ratio = |of: Figure| Spread::of(pairs().map(|(side, other)| of(&side.figures) / of(&other.figures)));
        Some(Self {
            to: other.side,
            p50: ratio(|figures| figures.p50_ms)?,
            p99: ratio(|figures| figures.p99_ms)?,
            per_second: ratio(|figures| figures.per_second)?,
            p50_ms_more: Spread::of(pairs().map(|(side, other)| side.figures.p50_ms - other.figures.p50_ms))?,
        })
    }
}

impl Verdict {
    fn of(target: Target, ratios: &[Ratio]) -> Option<Self> {
        let ratio = ratios.iter().find(|ratio| ratio.to == target.than)?;
        let (found, met) = match target.bound {
            Bound::P50AtMostTimes(most) => (ratio.p50.median, ratio.p50.median <= most),
            Bound::P99AtMostTimes(most) => (ratio.p99.median, ratio.p99.median <= most),
            Bound::P50AtMostMsMore(most) => (ratio.p50_ms_more.median, ratio.p50_ms_more.median <= most),
            Bound::PerSecondAtLeastTimes(least) => (ratio.per_second.median, ratio.per_second.median >= least),
        };
        Some(Self { target, found, met })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (than, found) = (self.target.than, self.found);
        match self.target.bound {
            Bound::P50AtMostTimes(most) => write!(f, "p50 at most {most:.2} times that of {than}: {found:.2}")?,
            Bound::P50AtMostMsMore(most) => write!(f, "p50 at most {most:.1} ms above that of {than}: {found:.2} ms")?,
            Bound::P99AtMostTimes(most) => write!(f, "p99 at most {most:.2} times that of {than}: {found:.2}")?,
            Bound::PerSecondAtLeastTimes(least) => {
                write!(f, "calls/s at least {least:.2} times those of {than}: {found:.2}")?;
            }
        }
        f.write_str(if self.met { ", met" } else { ", MISSED" })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject.name)?;
        for side in &self.sides {
            writeln!(f, "{}", row(side.side, &side.cells(), side.remark().as_deref()))?;
        }
        for Ratio { to, p50, p99, per_second, .. } in &self.ratios {
            let cells = [p50, p99, per_second].map(|ratio| Some(cell(*ratio, 2)));
            writeln!(f, "{}", row(&format!("to {to}"), &cells, None))?;
        }
        for verdict in &self.targets {
            writeln!(f, "  target: {verdict}")?;
        }
        write!(f, "{}", self.disturbance)
    }
}

/// What stands above the cases.
pub fn heading() -> String {
    let titles = ["p50 ms", "p99 ms", "calls/s"].map(|title| Some(title.to_owned()));
    row("", &titles, Some("CPU µs a call: service, PostgreSQL, client"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(p50_ms: f64, per_second: f64) -> Measured {
        Measured { figures: Figures { p50_ms, p95_ms: p50_ms, p99_ms: p50_ms, per_second }, cpu: None, open: None }
    }

    #[test]
    fn the_last_side_is_compared_with_the_others_round_by_round() {
        let rounds = Rounds {
            measured: vec![
                vec![measured(1.0, 100.0), measured(2.0, 300.0)],
                vec![measured(3.0, 100.0), measured(3.0, 500.0)],
                vec![measured(1.0, 400.0), measured(1.5, 800.0)],
            ],
            disturbance: Disturbance { left_out: 0, counted: 0 },
        };
        let bounds = [Bound::P50AtMostTimes(1.4), Bound::P50AtMostMsMore(0.5), Bound::PerSecondAtLeastTimes(3.1)];
        let targets = bounds.map(|bound| Target { than: "plain", bound }).to_vec();
        let subject = Subject { name: String::new(), group: String::new(), x: 1.0 };
        let compared = Comparison::new(subject, &["plain", "Teppan"], targets, &rounds).expect("there are rounds");
        let ratio = &compared.ratios[0];
        assert_eq!((ratio.to, ratio.p50.median, ratio.per_second.median), ("plain", 1.5, 3.0));
        assert_eq!(compared.targets.iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [false, true, false]);
        assert!(!compared.all_met());
    }
}
