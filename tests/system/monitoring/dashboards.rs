//! The Grafana dashboards, parsed as Grafana does.

use std::{collections::HashSet, fs};

use serde::Deserialize;
use serde_json::Value;
use teppan_tests::monitoring::deploy;

/// The data source that every panel and variable names, so that a dashboard works with any Prometheus.
const DATASOURCE: &str = "${datasource}";
/// The width of Grafana's grid.
const COLUMNS: u64 = 24;

#[derive(Deserialize)]
pub struct Dashboard {
    #[serde(skip)]
    pub file: String,
    id: Option<u64>,
    uid: String,
    title: String,
    panels: Vec<Panel>,
    templating: Templating,
}

#[derive(Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    datasource: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    pub title: String,
    #[serde(default)]
    description: String,
    grid_pos: GridPosition,
    datasource: Option<Source>,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    field_config: Value,
}

#[derive(Deserialize)]
struct GridPosition {
    x: u64,
    y: u64,
    w: u64,
    h: u64,
}

#[derive(Deserialize)]
struct Source {
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    ref_id: String,
    expr: String,
    datasource: Source,
}

impl Dashboard {
    /// Every dashboard of the project.
    pub fn all() -> Vec<Self> {
        let files = fs::read_dir(deploy("grafana")).expect("the folder is there").flatten();
        let mut dashboards: Vec<_> = files
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "json"))
            .map(|file| {
                let text = fs::read_to_string(file.path()).expect("readable");
                let name = file.file_name().to_string_lossy().into_owned();
                let dashboard: Self = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                Self { file: name, ..dashboard }
            })
            .collect();
        dashboards.sort_by(|a, b| a.file.cmp(&b.file));
        dashboards
    }

    /// The queries of every panel, with the panel's title, as Grafana sends them.
    pub fn queries(&self) -> impl Iterator<Item = (&str, String)> {
        self.panels.iter().flat_map(|panel| {
            panel.targets.iter().map(|target| {
                let query = target.expr.replace("$__rate_interval", "5m").replace("$namespace", ".*");
                assert!(!query.contains('$'), "{}: {}: an unknown variable in {query}", self.file, panel.title);
                (panel.title.as_str(), query)
            })
        })
    }
}

#[test]
fn every_panel_has_queries_a_unit_and_a_description() {
    for dashboard in Dashboard::all() {
        for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
            let at = format!("{}: {}", dashboard.file, panel.title);
            assert!(!panel.description.is_empty(), "{at}: no description");
            assert!(!panel.targets.is_empty(), "{at}: no query");
            assert!(panel.targets.iter().all(|target| !target.expr.trim().is_empty()), "{at}: an empty query");
            let names: HashSet<_> = panel.targets.iter().map(|target| &target.ref_id).collect();
            assert_eq!(names.len(), panel.targets.len(), "{at}: two queries of one name");
            assert!(panel.field_config["defaults"]["unit"].is_string(), "{at}: no unit");
            assert!(panel.field_config["defaults"]["thresholds"]["steps"].is_array(), "{at}: no thresholds");
        }
    }
}

#[test]
fn panels_have_ids_and_positions_of_their_own() {
    let dashboards = Dashboard::all();
    let uids: HashSet<_> = dashboards.iter().map(|dashboard| &dashboard.uid).collect();
    assert_eq!(uids.len(), dashboards.len(), "two dashboards with one uid");
    for dashboard in &dashboards {
        let (file, panels) = (&dashboard.file, &dashboard.panels);
        assert!(!dashboard.title.is_empty() && dashboard.id.is_none(), "{file}: Grafana assigns the id");
        let ids: HashSet<_> = panels.iter().map(|panel| panel.id).collect();
        assert_eq!(ids.len(), panels.len(), "{file}: two panels with one id");
        let mut taken = HashSet::new();
        for panel in panels {
            let GridPosition { x, y, w, h } = panel.grid_pos;
            assert!(x + w <= COLUMNS && h > 0, "{file}: {} is off the grid", panel.title);
            let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
            assert!(cells.into_iter().all(|cell| taken.insert(cell)), "{file}: {} covers another", panel.title);
        }
    }
}

#[test]
fn dashboards_work_with_any_prometheus() {
    for dashboard in Dashboard::all() {
        let file = &dashboard.file;
        let variables = &dashboard.templating.list;
        assert!(
            variables.iter().any(|it| it.name == "datasource" && it.kind == "datasource"),
            "{file}: no variable chooses the data source"
        );
        let of_variables = variables.iter().filter_map(|variable| variable.datasource.as_ref());
        let of_panels = dashboard.panels.iter().filter_map(|panel| panel.datasource.as_ref());
        let of_targets = dashboard.panels.iter().flat_map(|panel| &panel.targets).map(|target| &target.datasource);
        for source in of_variables.chain(of_panels).chain(of_targets) {
            assert_eq!(source.uid, DATASOURCE, "{file}");
        }
    }
}
