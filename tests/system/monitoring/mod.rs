//! Rules, dashboards and their entries in the handbook, held against each other and against a real Prometheus.

mod dashboards;
mod entries;
mod secured;
mod series;
mod tool;

use teppan_tests::harness;

/// Whether set-up has brought what these tests need. `make test` does.
fn is_set_up() -> bool {
    let bin = harness::home().join("tools/bin");
    let is_there = ["prometheus", "alertmanager", "nats-server"].iter().all(|program| bin.join(program).exists());
    if !is_there {
        eprintln!("skipped: run `deploy/local/setup.sh prometheus nats` first");
    }
    is_there
}
