//! Rules and dashboards agree with their entries in the handbook, and work with a real Prometheus.

mod dashboards;
mod entries;
mod secured;
mod series;
mod tool;

use teppan_tests::harness;

/// Whether the programs that these tests need are installed. `make test` installs them.
fn is_set_up() -> bool {
    let bin = harness::home().join("tools/bin");
    let is_there = ["prometheus", "alertmanager", "nats-server"].iter().all(|program| bin.join(program).exists());
    if !is_there {
        eprintln!("skipped: run `deploy/local/setup.sh prometheus nats` first");
    }
    is_there
}
