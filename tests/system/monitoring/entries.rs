//! Each alert has an entry in the handbook and tests for promtool.

use std::{collections::BTreeSet, fs, path::PathBuf};

use teppan_tests::monitoring::deploy;

fn files(folder: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let files = fs::read_dir(deploy(folder)).expect("the folder is there").flatten().map(|file| file.path());
    let files = files.filter(|path| path.is_file());
    files.map(|path| {
        let text = fs::read_to_string(&path).expect("readable");
        (path, text)
    })
}

/// The names that follow this word in the lines of the rules.
fn named(word: &str) -> BTreeSet<String> {
    let lines = files("prometheus/rules").flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| line.trim().strip_prefix(word).map(|rest| rest.trim().to_owned())).collect()
}

#[test]
fn every_alert_has_an_entry_in_the_handbook_and_every_entry_an_alert() {
    let handbook = fs::read_to_string(deploy("../docs/operations.md")).expect("readable");
    let (_, entries) = handbook.split_once("\n## Alerts\n").expect("the section is there");
    let entries = entries.split("\n## ").next().unwrap_or_default();
    let headings: BTreeSet<_> =
        entries.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let alerts = named("- alert:");
    assert!(alerts.len() > 20, "{alerts:?}");
    assert_eq!(alerts, headings);
    for entry in entries.split("\n### ").skip(1) {
        let name = entry.lines().next().unwrap_or_default();
        assert!(entry.contains("**Look at**") || entry.contains("**Do"), "the entry of {name} has no `Look at`");
        assert!(entry.contains("**Do") || entry.contains("**do**"), "the entry of {name} has no `Do`");
    }
}

#[test]
fn every_alert_links_to_its_entry() {
    for (path, text) in files("prometheus/rules") {
        for rule in text.split("- alert:").skip(1) {
            let name = rule.lines().next().unwrap_or_default().trim();
            let link = format!("runbook_url: docs/operations.md#{}", name.to_lowercase());
            assert!(rule.lines().any(|line| line.trim() == link), "{}: {name}", path.display());
        }
    }
}

#[test]
fn the_links_of_the_handbook_lead_to_its_headings() {
    let handbook = fs::read_to_string(deploy("../docs/operations.md")).expect("readable");
    let anchors: BTreeSet<_> = handbook
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    for link in handbook.split("](#").skip(1) {
        let link = link.split(')').next().unwrap_or_default();
        assert!(anchors.contains(link), "no heading {link}");
    }
}

#[test]
fn promtool_tests_every_alert_firing_and_not_firing() {
    let tests: Vec<_> = files("prometheus/tests").collect();
    let fired = |alert: &String| {
        let label = format!("alertname=\"{alert}\"");
        tests.iter().any(|(_, text)| text.contains(&label))
    };
    let untested: Vec<_> = named("- alert:").into_iter().filter(|alert| !fired(alert)).collect();
    assert!(untested.is_empty(), "no test fires {untested:?}");
    for (path, text) in &tests {
        for test in text.split("\n  - name: ").skip(1) {
            let name = test.lines().next().unwrap_or_default();
            let checks = test.matches("expr: ALERTS{alertstate=\"firing\"}").count();
            assert!(
                test.contains("exp_samples: []") || checks > 1,
                "{}: {name}: no check that the alert does not fire",
                path.display()
            );
        }
    }
}
