//! The tables of docs/metrics.md.

use std::{collections::BTreeSet, fs, path::Path};

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    pub prometheus: String,
    /// `None` when OTLP has no metric for the row.
    pub otlp: Option<String>,
    pub kind: String,
    pub labels: BTreeSet<String>,
    /// Whether the row leaves out some labels.
    pub is_open: bool,
    /// Whether the metric exists only where a feature is set up.
    pub is_optional: bool,
}

const OPTIONAL: &str = "Only where configured";

/// The metrics of a service: those of both, its own, and the optional ones.
pub fn rows_of(service: &str) -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let sections = page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let of_it = sections.filter(|(title, _)| [service, "Both services", OPTIONAL].contains(title));
    let rows = of_it.flat_map(|(title, section)| section.lines().filter_map(move |line| row(line, title == OPTIONAL)));
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 40, "the tables are read");
    rows
}

fn row(line: &str, is_optional: bool) -> Option<Row> {
    let cells: Vec<_> = line.strip_prefix("| `")?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [name, otlp, kind, labels, _meaning] = cells.try_into().unwrap_or_else(|_| panic!("not five cells: {line}"));
    Some(Row {
        prometheus: name.trim_end_matches('`').to_owned(),
        otlp: otlp.strip_prefix('`').map(|name| name.trim_end_matches('`').to_owned()),
        kind: kind.to_owned(),
        labels: quoted(&without_parentheses(labels)),
        is_open: without_parentheses(labels).contains('…'),
        is_optional,
    })
}

/// Removes the values of a label, which follow it in parentheses.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let kept = text.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    });
    kept.collect()
}

fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}
