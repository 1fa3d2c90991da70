//! `make hostile`: attacks by greedy, slow and idle clients, and the service for a well-behaved client meanwhile.

mod attack;
mod report;
mod stage;
mod workload;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use teppan_shared::embedded::{Durability, ThrowawayServer};
use teppan_tests::tool::{INTERRUPTED, Interrupt};

use self::{
    attack::Attack,
    report::{Outcome, Report},
    stage::{Stage, StageError},
};

/// Runs one attack after the other on loopback, while a well-behaved client measures how it is served.
///
/// Each attack has a new service on a temporary PostgreSQL. The table shows the growth of the service's memory, its
/// processor time, and the client's calls per second before and during the attack. Exit code 0: every bound was kept;
/// 1: one was broken, or something failed; 130: interrupted.
#[derive(Parser)]
#[command(name = "hostile", version)]
struct Cli {
    /// Seconds of the measurement before an attack, and of that during it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Only the attacks whose name contains this, such as `answers`
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Folder of the programs of the services, such as another version's; default: the folder of this program
    #[arg(long, value_name = "PATH")]
    services: Option<PathBuf>,
    /// Folder of the project's tools; the database is temporary, in the system's temporary folder
    #[arg(long, env = "TEPPAN_HOME", default_value = ".teppan", value_name = "PATH")]
    teppan_home: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let attacks: Vec<_> = Attack::ALL
        .into_iter()
        .filter(|attack| cli.only.as_ref().is_none_or(|pattern| attack.name().contains(pattern)))
        .collect();
    if attacks.is_empty() {
        eprintln!("hostile: no attack has such a name; there are:");
        for attack in Attack::ALL {
            eprintln!("  {}", attack.name());
        }
        return ExitCode::FAILURE;
    }
    // This process holds the attackers' side of all connections.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("hostile: the limit of descriptors cannot be raised: {error}");
    }
    let interrupt = Interrupt::listen();
    match run(&cli, &attacks, &interrupt).await {
        Ok(Some(report)) => {
            println!("{report}");
            if report.all_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns `None` when interrupted.
async fn run(cli: &Cli, attacks: &[Attack], interrupt: &Interrupt) -> Result<Option<Report>, StageError> {
    eprintln!("Starting PostgreSQL ...");
    let server = start_postgres(&cli.teppan_home);
    let Some(server) = interrupt.unless_interrupted(server).await else { return Ok(None) };
    let server = server?;
    let mut report = Report::default();
    let attacking = async {
        for (number, attack) in (1..).zip(attacks) {
            eprintln!("[{number}/{}] {}", attacks.len(), attack.description());
            report.add(one(cli, *attack, &server).await?);
        }
        Ok(())
    };
    let attacked = interrupt.unless_interrupted(attacking).await;
    server.close().await;
    attacked.transpose().map(|finished| finished.map(|()| report))
}

async fn start_postgres(home: &Path) -> Result<ThrowawayServer, StageError> {
    Ok(ThrowawayServer::start(home, Durability::Volatile).await?)
}

/// Runs one attack on a new service.
async fn one(cli: &Cli, attack: Attack, server: &ThrowawayServer) -> Result<Outcome, StageError> {
    let stage = Stage::start(attack, server, cli.services.as_deref()).await?;
    let span = Duration::from_secs(cli.seconds);
    let workload = attack.workload();
    // The first calls fill caches and open connections.
    workload.measure(&stage, Duration::from_secs(1)).await;
    let before = workload.measure(&stage, span).await;
    let memory = stage.watch_memory();
    let used_before = stage.processor_time();
    let running = attack.begin(&stage).await;
    let during = workload.measure(&stage, span).await;
    let processor = stage.processor_time().saturating_sub(used_before);
    let grown_mib = memory.grown_mib();
    let (offered_bytes, took) = (running.offered_bytes, running.since.elapsed());
    drop(running);
    stage.stop().await;
    Ok(Outcome {
        attack,
        offered_bytes,
        grown_mib,
        processor_share: processor.as_secs_f64() / took.as_secs_f64(),
        before,
        during,
    })
}
