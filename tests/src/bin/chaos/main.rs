//! `make chaos`: many clients, all kinds of faults, and then a check that every promise was kept.

mod checks;
mod clients;
mod faults;
mod ledger;
mod plan;
mod report;
mod run;
mod world;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use teppan_shared::embedded::exec_without_postgres_variables;
use teppan_tests::{
    launch::Shown,
    tool::{INTERRUPTED, Interrupt, say},
};

use self::{
    plan::Kind,
    report::Report,
    run::Run,
    world::{Needs, WorldError},
};

/// Runs clients against two replicas of each service while faults happen, then checks everything.
///
/// The world has a PostgreSQL and a nats-server of its own, an orchestrator that claims follow-ups, and a Stripe whose
/// events come late, twice and out of order. The seed decides which faults happen, in which order, and how long they
/// last; each is followed by its recovery. Clients retry as docs/clients.md says, and record every answer. A violation
/// prints the history of what it is about, and the command that runs the same faults again.
///
/// Exit code 0: every promise was kept; 1: one was broken, or something failed; 130: interrupted, after the checks.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct Cli {
    /// Length of the run, without set-up and checks
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Seed of the faults and of what clients do. Default: a random seed
    #[arg(long)]
    seed: Option<u64>,
    /// Clients, half of them guests who book, half of them talkers in chats
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=512))]
    clients: u16,
    /// Only these faults, separated by commas. Default: all but disk-full
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Seconds between the end of a fault and the next one
    #[arg(long, default_value_t = 3.0)]
    calm_seconds: f64,
    /// Use a cluster of three PostgreSQL under Patroni, whose primary is killed and frozen. `deploy/local/setup.sh
    /// cluster` installs it
    #[arg(long)]
    cluster: bool,
    /// Size of the file system in memory that disk-full fills. All data of the run must fit
    #[arg(long, default_value_t = 2000)]
    disk_mb: u32,
    /// Also show what the services warn of; faults cause many warnings
    #[arg(long)]
    warnings: bool,
    /// File of the report as JSON
    #[arg(long, default_value = "target/chaos.json", value_name = "PATH")]
    json: PathBuf,
}

impl Cli {
    fn run(&self) -> Run {
        let kinds = if self.faults.is_empty() { Kind::usual(self.cluster) } else { self.faults.clone() };
        let disk_mb = kinds.contains(&Kind::DiskFull).then_some(self.disk_mb);
        Run {
            span: Duration::from_secs_f64(self.minutes.clamp(0.1, 24.0 * 60.0) * 60.0),
            seed: self.seed.unwrap_or_else(rand::random),
            clients: usize::from(self.clients),
            kinds,
            calm: Duration::from_secs_f64(self.calm_seconds.clamp(0.5, 600.0)),
            needs: Needs {
                cluster: self.cluster,
                disk_mb,
                shown: if self.warnings { Shown::WarningsAndErrors } else { Shown::Errors },
            },
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = exec_without_postgres_variables() {
        eprintln!("chaos: {error}");
        return ExitCode::FAILURE;
    }
    let (run, interrupt) = (cli.run(), Interrupt::listen());
    say(format!("seed {}", run.seed));
    let report = match Box::pin(run.go(&interrupt)).await {
        Ok(report) => report,
        Err(WorldError::NoDisk | WorldError::NoCluster) if !interrupt.was_interrupted() => {
            say(
                "SKIPPED: the world of these faults cannot be set up here: disk-full needs root, --cluster its programs",
            );
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("chaos: {}", teppan_tests::error_text(&error));
            return ExitCode::FAILURE;
        }
    };
    say(&report);
    if let Err(error) = write(&report, &cli.json) {
        eprintln!("chaos: {} cannot be written: {error}", cli.json.display());
    }
    match (report.violations.is_empty(), interrupt.was_interrupted()) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    }
}

fn write(report: &Report, path: &std::path::Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, serde_json::to_vec_pretty(report)?)
}
