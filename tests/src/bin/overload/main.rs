//! `make overload`: the share of its peak that a service still serves when it is offered several times as much.

mod load;
mod report;
mod stage;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use teppan_shared::embedded::{Durability, ThrowawayServer};
use teppan_tests::tool::{INTERRUPTED, Interrupt, machine::MachineTime};

use self::{
    load::{Call, Connections},
    report::{Phase, Report},
    stage::{Stage, StageError},
};

/// Numbers of clients in the closed loop. The best of them gives the peak.
const CLOSED_CLIENTS: [usize; 3] = [16, 32, 64];

/// Measures the peak of a service, and its goodput at several times that.
///
/// The peak is found by clients that wait for an answer before they call again, and is measured again after each
/// overload. Then calls begin at a fixed rate, whatever becomes of earlier ones, each with a deadline. Goodput counts
/// the calls that succeed within it. A call that does not is either refused at once, with RetryInfo, or too late. Each
/// service is started newly, on a temporary durable PostgreSQL. Exit code 0: every bound was kept; 1: one was broken,
/// or something failed; 130: interrupted.
///
/// Clients, service and PostgreSQL share this machine. With PostgreSQL on loopback it is the processors that are short,
/// and clients that send four times as much take them from PostgreSQL. With a round trip of some milliseconds it is the
/// connections that are short, as when each has a machine of its own.
#[derive(Parser)]
#[command(name = "overload", version)]
struct Cli {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Deadline of each call, in milliseconds
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    deadline_ms: u64,
    /// Load that is offered, as multiples of the peak
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 2.0, 4.0])]
    factors: Vec<f64>,
    /// Only this call
    #[arg(long)]
    only: Option<CallName>,
    /// Time of a round trip to the database, in milliseconds; 0 is loopback
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1000))]
    round_trip_ms: u64,
    /// Folder of the programs of the services, such as those of another version; by default the one of this program
    #[arg(long, value_name = "PATH")]
    services: Option<PathBuf>,
    /// Folder of the project's tools; the database is made in the system's temporary folder for the time of the run
    #[arg(long, env = "TEPPAN_HOME", default_value = ".teppan", value_name = "PATH")]
    teppan_home: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CallName {
    StoreMessage,
    CreateBooking,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let interrupt = Interrupt::listen();
    match run(&cli, &interrupt).await {
        Ok(Some(report)) => {
            println!("{report}");
            if report.all_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("overload: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns `None` when interrupted.
async fn run(cli: &Cli, interrupt: &Interrupt) -> Result<Option<Report>, StageError> {
    eprintln!("Starting PostgreSQL ...");
    let server = start_postgres(&cli.teppan_home);
    let Some(server) = interrupt.unless_interrupted(server).await else { return Ok(None) };
    let server = server?;
    let mut report = Report::new(Duration::from_millis(cli.deadline_ms));
    let measuring = async {
        for name in [CallName::StoreMessage, CallName::CreateBooking] {
            if cli.only.is_none_or(|only| only == name) {
                measure(cli, name, &server, &mut report).await?;
            }
        }
        Ok(())
    };
    let measured = interrupt.unless_interrupted(measuring).await;
    server.close().await;
    measured.transpose().map(|finished| finished.map(|()| report))
}

async fn start_postgres(home: &Path) -> Result<ThrowawayServer, StageError> {
    Ok(ThrowawayServer::start(home, Durability::Durable).await?)
}

/// The phases of one call, on a service of its own.
async fn measure(cli: &Cli, name: CallName, server: &ThrowawayServer, report: &mut Report) -> Result<(), StageError> {
    let stage = Stage::start(name, server, cli.services.as_deref(), Duration::from_millis(cli.round_trip_ms)).await?;
    let call = Call::new(&stage, name, Duration::from_millis(cli.deadline_ms));
    let connections = Connections::open(stage.address());
    let span = Duration::from_secs(cli.seconds);
    eprintln!("{name:?}: warming up ...");
    load::closed(&call, &connections, CLOSED_CLIENTS[1], Duration::from_secs(2)).await;
    let (mut peak, mut best) = (0.0_f64, 0);
    for clients in CLOSED_CLIENTS {
        eprintln!("{name:?}: {clients} clients that wait ...");
        let phase = Phase::of(&stage, MachineTime::now(), load::closed(&call, &connections, clients, span)).await;
        (peak, best) = if phase.goodput() > peak { (phase.goodput(), clients) } else { (peak, best) };
        report.add(name, &format!("{clients} clients"), &phase, None);
    }
    let first = peak;
    for factor in &cli.factors {
        eprintln!("{name:?}: {factor} times the peak ...");
        let load = load::open(&call, &connections, peak * factor, span);
        let phase = Phase::of(&stage, MachineTime::now(), load).await;
        let after = Phase::of(&stage, MachineTime::now(), load::closed(&call, &connections, best, span)).await;
        // The tables grow, and the machine is not always the same.
        report.add(name, &format!("{factor} x peak"), &phase, Some(f64::midpoint(peak, after.goodput())));
        report.add(name, &format!("then {best} clients"), &after, Some(peak));
        report.check_against_first_peak(name, &after, first);
        if after.goodput() <= 0.0 {
            break;
        }
        peak = after.goodput();
    }
    stage.stop().await;
    Ok(())
}
