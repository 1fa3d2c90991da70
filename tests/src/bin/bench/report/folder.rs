//! The report as a folder: tables in Markdown, a plot for each group of cases, and everything as JSON.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    Report,
    plots::{Line, Plot},
};
use crate::{
    comparison::{Comparison, SideReport},
    error::BenchError,
    measured::Measured,
    sample::{Figures, Spread},
    sizes::{AtSize, SizedReport},
};

/// What else is in a plot's title and in the heading of its tables, and what its axis is.
struct Part<'a> {
    heading: &'static str,
    x_title: &'static str,
    comparisons: &'a [Comparison],
}

pub fn write(report: &Report, folder: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
    let hot = report.hot.as_ref().map_or(&[][..], |hot| &hot.cases);
    let parts = [
        Part { heading: "Hot calls", x_title: "clients", comparisons: hot },
        Part { heading: "StoreMessages", x_title: "messages", comparisons: &report.batches },
        Part { heading: "Floors", x_title: "clients", comparisons: &report.floors },
        Part { heading: "Open loop", x_title: "% of the peak", comparisons: &report.open_loop },
        Part { heading: "Distant database", x_title: "ms of a round trip", comparisons: &report.distances },
        Part { heading: "Two builds", x_title: "ms of a round trip", comparisons: &report.beside },
        Part { heading: "Rotation of keys", x_title: "messages", comparisons: &report.rotation },
    ];
    let mut text = format!("# Benchmarks\n\n{}\n\n", report.disturbance());
    for line in report.environment.to_string().lines() {
        push(&mut text, &format!("- {line}"));
    }
    text.push('\n');
    targets(report, &mut text);
    for part in &parts {
        if part.comparisons.is_empty() {
            continue;
        }
        push(&mut text, &format!("## {}\n", part.heading));
        for plot in plots(part) {
            plot.write(folder)?;
            push(&mut text, &format!("![{}]({})\n", plot.title, plot.file_name()));
        }
        table(part.comparisons, &mut text);
    }
    if !report.sizes.is_empty() {
        push(&mut text, "## Small and large tables\n");
        for sized in &report.sizes {
            let plot = sized_plot(sized);
            plot.write(folder)?;
            push(&mut text, &format!("![{}]({})\n", plot.title, plot.file_name()));
            push(&mut text, &format!("```\n{sized}```\n"));
        }
    }
    if let Some(hot) = &report.hot {
        push(&mut text, "## Services\n\n```");
        hot.services.iter().for_each(|service| text.push_str(&service.to_string()));
        push(&mut text, "An empty call (health) through gRPC:");
        hot.empty_calls.iter().for_each(|call| text.push_str(&call.to_string()));
        push(&mut text, "```");
    }
    let readme = folder.join("README.md");
    fs::write(&readme, text).map_err(BenchError::file(&readme))?;
    let json = folder.join("results.json");
    fs::write(&json, report.to_json().map_err(BenchError::file(&json))?).map_err(BenchError::file(&json))
}

fn push(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

fn targets(report: &Report, text: &mut String) {
    let with_targets = || report.comparisons().filter(|compared| !compared.targets.is_empty());
    if with_targets().next().is_none() {
        return;
    }
    push(text, "## Targets\n\n| case | target | |\n|---|---|---|");
    for compared in with_targets() {
        for verdict in &compared.targets {
            let (target, name) = (verdict.to_string(), &compared.subject.name);
            let (target, met) = target.rsplit_once(", ").unwrap_or((&target, ""));
            push(text, &format!("| {name} | {target} | {met} |"));
        }
    }
    text.push('\n');
}

fn table(comparisons: &[Comparison], text: &mut String) {
    push(text, "| case | side | p50 ms | p99 ms | calls/s | |\n|---|---|---|---|---|---|");
    for compared in comparisons {
        let mut name = compared.subject.name.as_str();
        for side in &compared.sides {
            let [p50, p99, per_second] = side.cells().map(Option::unwrap_or_default);
            let remark = if side.rounds.iter().any(|round| round.open.is_some()) { side.remark() } else { None };
            let remark = remark.unwrap_or_default();
            push(text, &format!("| {name} | {} | {p50} | {p99} | {per_second} | {remark} |", side.side));
            name = "";
        }
        if compared.disturbance.counted > 0 {
            push(text, &format!("| | disturbed rounds: {} | | | | |", compared.disturbance.counted));
        }
    }
    text.push('\n');
}

/// A plot for each group of a part, in the order of their first cases.
fn plots(part: &Part<'_>) -> Vec<Plot> {
    let mut groups: Vec<&str> = Vec::new();
    for compared in part.comparisons {
        if !groups.contains(&compared.subject.group.as_str()) {
            groups.push(&compared.subject.group);
        }
    }
    let plot = |group: &str| {
        let cases: Vec<_> = part.comparisons.iter().filter(|compared| compared.subject.group == group).collect();
        let sides: Vec<_> =
            cases.first().map_or_else(Vec::new, |compared| compared.sides.iter().map(|side| side.side).collect());
        let lines = |of: fn(&Figures) -> f64| {
            let line = |side: &&'static str| {
                let point = |compared: &&Comparison| {
                    compared.sides.iter().find(|it| it.side == *side).and_then(|found: &SideReport| found.spread(of))
                };
                Line { side, points: cases.iter().map(point).collect() }
            };
            sides.iter().map(line).collect()
        };
        Plot {
            title: group.to_owned(),
            x_title: part.x_title,
            x: cases.iter().map(|compared| compared.subject.x).collect(),
            per_second: lines(|figures| figures.per_second),
            p50_ms: lines(|figures| figures.p50_ms),
        }
    };
    groups.into_iter().map(plot).collect()
}

fn sized_plot(sized: &SizedReport) -> Plot {
    let lines = |of: fn(&Figures) -> f64| {
        let line = |side, rounds: fn(&AtSize) -> &[Measured]| {
            let point = |at: &AtSize| Spread::of(rounds(at).iter().map(|measured| of(&measured.figures)));
            Line { side, points: sized.sizes.iter().map(point).collect() }
        };
        vec![line("pgbench", |at| &at.pgbench), line("Teppan", |at| &at.grpc)]
    };
    Plot {
        title: format!("{}, by {}", sized.name, sized.what),
        x_title: sized.what,
        x: sized.sizes.iter().map(|at| f64::from(at.count)).collect(),
        per_second: lines(|figures| figures.per_second),
        p50_ms: lines(|figures| figures.p50_ms),
    }
}
