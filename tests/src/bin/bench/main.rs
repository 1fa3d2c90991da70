//! Times the hot calls through gRPC beside the very same statements driven by pgbench.

mod beside;
mod case;
mod create_booking;
mod distance;
mod error;
mod load;
mod pgbench;
mod report;
mod rounds;
mod sample;
mod server;
mod sizes;
mod stage;
mod store_message;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use teppan_shared::embedded::exec_without_postgres_variables;
use teppan_tests::tool::{
    INTERRUPTED, Interrupt,
    machine::{self, MachineTime},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    case::{Case, Run, With},
    error::BenchError,
    load::Clients,
    pgbench::Pgbench,
    report::{CaseReport, EmptyCall, Environment, HotReport, Report, ServiceFigures},
    rounds::{Round, Rounds},
    sample::{Spread, Timing},
    sizes::{Plan, SizedCall, SizedReport},
    stage::{Served, Side, Stage},
};

/// Times the hot calls through gRPC beside the very same statements driven by pgbench.
///
/// Both services run as processes of their own on a PostgreSQL of their own, whose commits wait for
/// the disk, whose shared buffers are 1 GB, and which is gone afterwards. The two sides take turns, on the same tables, with as many
/// clients and the same session settings; each has slots and conversations of its own. That all
/// calls were written is checked after each measurement. A round during which the machine's host gave
/// much of its time to others is made again, up to as often as there are rounds.
///
/// Then ListAvailability, BatchCheckAvailability, ListBookings, and CreateBooking with the CancelBooking of
/// what it made, in databases with few and with many bookings that take turns. Filling one with 1,000,000
/// takes one to three minutes and 4 GB of disk; they are gone afterwards.
///
/// Settings of the services, such as DATABASE_MAX_CONNECTIONS, are taken from the environment.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    /// How often both sides are measured: the more often they take turns, the less a busy machine matters
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seconds that one measurement counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10))]
    seconds: u64,
    /// Seconds before that in which calls are made but not counted
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=10))]
    warm_up_seconds: u64,
    /// Only the cases whose name contains this, such as `CreateBooking, 1 client`
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Bookings in the databases of the calls that could grow with them
    #[arg(long, value_name = "COUNT,COUNT", value_delimiter = ',', default_value = "10000,1000000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    sizes: Vec<u32>,
    /// Measure the services of the binaries in this folder beside those of this build, and nothing else
    #[arg(long, value_name = "FOLDER")]
    beside: Option<PathBuf>,
    /// With --beside: how far the database is away, in milliseconds of a round trip
    #[arg(long, value_name = "MS,MS", value_delimiter = ',', default_value = "0,1,5", value_parser = clap::value_parser!(u64).range(0..=1000))]
    distances: Vec<u64>,
    /// One round of one second, and small databases: to see that everything works
    #[arg(long)]
    quick: bool,
    /// HTTP/2 connections of the load generator, at most
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    http2_connections: u16,
    /// Write everything that was measured to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    strict: bool,
    /// Folder of the project's tools; the database is made in it for the time of the run
    #[arg(long, env = "TEPPAN_HOME", default_value = ".teppan", value_name = "PATH")]
    teppan_home: PathBuf,
}

impl Cli {
    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.into() }
    }

    fn timing(&self) -> Timing {
        let seconds = if self.quick { 1 } else { self.seconds };
        Timing { warm_up: Duration::from_secs(self.warm_up_seconds), counted: Duration::from_secs(seconds) }
    }
}

/// Bookings where it only matters that everything works.
const QUICK_SIZES: [u32; 2] = [200, 400];
/// How often the time to SERVING is taken.
const STARTS: usize = 5;
/// Clients of the empty call.
const EMPTY_CALL_CLIENTS: [usize; 3] = [1, 8, 32];

// One thread makes the load, as in pgbench: what it costs to wake more is not the services' cost.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = exec_without_postgres_variables() {
        eprintln!("bench: {error}");
        return ExitCode::FAILURE;
    }
    match run(&cli).await {
        Ok(Some(report)) if cli.strict && !report.all_met() => ExitCode::FAILURE,
        Ok(Some(_)) => ExitCode::SUCCESS,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that was chosen; `None` when it was told to stop.
async fn run(cli: &Cli) -> Result<Option<Report>, BenchError> {
    if let Some(folder) = &cli.beside {
        return Box::pin(run_beside(cli, folder)).await;
    }
    let (cases, calls) = chosen(cli.only.as_deref())?;
    let pgbench = Pgbench::find(&cli.teppan_home)?;
    let interrupt = Interrupt::listen();
    let begun = MachineTime::now();
    let mut report = Report { hot: None, sizes: Vec::new(), beside: Vec::new(), stolen_percent: None };
    if !cases.is_empty() {
        report.hot = run_hot(cli, &cases, &pgbench, &interrupt).await?;
        if report.hot.is_none() {
            return Ok(None);
        }
    }
    if !calls.is_empty() {
        let Some(sizes) = run_sizes(cli, calls, &pgbench, &interrupt).await? else { return Ok(None) };
        report.sizes = sizes;
    }
    report.stolen_percent = MachineTime::now().zip(begun).map(|(now, begun)| now.stolen_percent_since(begun));
    report.finish(cli.json.as_deref())?;
    Ok(Some(report))
}

/// Both builds side by side.
async fn run_beside(cli: &Cli, folder: &Path) -> Result<Option<Report>, BenchError> {
    let plan = beside::Plan {
        folder,
        distances: cli.distances.iter().copied().map(Duration::from_millis).collect(),
        only: cli.only.as_deref().unwrap_or_default(),
        rounds: cli.rounds(),
        timing: cli.timing(),
        connections: cli.http2_connections.into(),
    };
    let interrupt = Interrupt::listen();
    let begun = MachineTime::now();
    let Some(beside) = interrupt.unless_interrupted(Box::pin(beside::run(&plan, &cli.teppan_home))).await else {
        return Ok(None);
    };
    let stolen_percent = MachineTime::now().zip(begun).map(|(now, begun)| now.stolen_percent_since(begun));
    let report = Report { hot: None, sizes: Vec::new(), beside: beside?, stolen_percent };
    report.finish(cli.json.as_deref())?;
    Ok(Some(report))
}

fn chosen(only: Option<&str>) -> Result<(Vec<Case>, Vec<SizedCall>), BenchError> {
    let pattern = only.unwrap_or_default();
    let cases: Vec<Case> = case::all().into_iter().filter(|case| case.name().contains(pattern)).collect();
    let calls: Vec<SizedCall> = SizedCall::ALL.into_iter().filter(|call| call.name().contains(pattern)).collect();
    if cases.is_empty() && calls.is_empty() { Err(BenchError::NoCase(pattern.to_owned())) } else { Ok((cases, calls)) }
}

/// Sets the stage of the hot calls, measures, and clears it again.
async fn run_hot(
    cli: &Cli,
    cases: &[Case],
    pgbench: &Pgbench,
    interrupt: &Interrupt,
) -> Result<Option<HotReport>, BenchError> {
    eprintln!("Starting PostgreSQL and both services…");
    let Some(stage) = interrupt.unless_interrupted(Stage::set(&cli.teppan_home)).await else { return Ok(None) };
    let stage = stage?;
    let measured = interrupt.unless_interrupted(measure(cli, cases, pgbench, &stage)).await;
    stage.clear().await;
    measured.transpose()
}

async fn run_sizes(
    cli: &Cli,
    calls: Vec<SizedCall>,
    pgbench: &Pgbench,
    interrupt: &Interrupt,
) -> Result<Option<Vec<SizedReport>>, BenchError> {
    let mut sizes = if cli.quick { QUICK_SIZES.to_vec() } else { cli.sizes.clone() };
    sizes.sort_unstable();
    sizes.dedup();
    let plan = Plan { calls, sizes: &sizes, rounds: cli.rounds(), timing: cli.timing(), pgbench };
    sizes::run(&plan, &cli.teppan_home, interrupt).await
}

/// Everything about the hot calls, printed as it comes.
async fn measure(cli: &Cli, cases: &[Case], pgbench: &Pgbench, stage: &Stage) -> Result<HotReport, BenchError> {
    let rounds = cli.rounds();
    let with = With { stage, pgbench, timing: cli.timing(), connections: cli.http2_connections.into() };

    let environment = environment(cli, pgbench, &stage.booking).await?;
    println!("{environment}");
    println!("An empty call (health) through gRPC, once:");
    let empty_calls = empty_calls(&with).await?;
    println!("\n{}", report::heading());
    let mut reports = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let Some(report) = rounds_of(case, number * rounds::most(rounds), rounds, &with).await? else { continue };
        println!("{report}");
        reports.push(report);
    }
    println!("Services:");
    let services = vec![service_figures(&stage.booking).await?, service_figures(&stage.conversation).await?];
    Ok(HotReport { environment, services, empty_calls, cases: reports })
}

/// All rounds of a case, the sides taking turns.
async fn rounds_of(
    case: &Case,
    first_run: usize,
    rounds: usize,
    with: &With<'_>,
) -> Result<Option<CaseReport>, BenchError> {
    let round = async |round: Round| {
        let run = Run(first_run + round.number);
        Ok((case.measure(Side::Pgbench, run, with).await?, case.measure(Side::Grpc, run, with).await?))
    };
    Ok(CaseReport::new(case, Rounds::make(&case.name(), rounds, round).await?))
}

async fn environment(cli: &Cli, pgbench: &Pgbench, served: &Served) -> Result<Environment, BenchError> {
    let mut connection = served.connect().await?;
    let mut setting = async |name: &str| -> Result<String, BenchError> {
        Ok(sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await?)
    };
    let fsync = setting("fsync").await?;
    let synchronous_commit = setting("synchronous_commit").await?;
    let version = setting("server_version").await?;
    Ok(Environment {
        postgres: format!("PostgreSQL {version}"),
        pgbench: pgbench.version().await?,
        durable: fsync == "on" && synchronous_commit == "on",
        fsync,
        synchronous_commit,
        optimised: !cfg!(debug_assertions),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        rounds: cli.rounds(),
        seconds: cli.timing().counted.as_secs(),
        warm_up_seconds: cli.warm_up_seconds,
        http2_connections: cli.http2_connections.into(),
        max_connections: std::env::var("DATABASE_MAX_CONNECTIONS")
            .unwrap_or_else(|_| "the default number of".to_owned()),
    })
}

/// Health is asked like any other call, and does nothing: what is left is gRPC.
async fn empty_calls(with: &With<'_>) -> Result<Vec<EmptyCall>, BenchError> {
    let address = with.stage.booking.process.grpc;
    let call = async |channel| {
        HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
        Ok(())
    };
    let mut measured = Vec::new();
    for count in EMPTY_CALL_CLIENTS {
        let clients = Clients { count, connections: with.connections };
        let sample = load::run(address, clients, with.timing, call).await?;
        let empty = EmptyCall { clients: count, figures: sample.figures() };
        print!("{empty}");
        measured.push(empty);
    }
    Ok(measured)
}

async fn service_figures(served: &Served) -> Result<ServiceFigures, BenchError> {
    let mut serving_ms = Vec::new();
    for _ in 0..STARTS {
        serving_ms.push(served.time_to_serving().await?.as_secs_f64() * 1000.0);
    }
    let figures = ServiceFigures {
        name: served.which.binary(),
        idle_mb: served.idle_mb,
        after_load_mb: served.process.id().and_then(machine::resident_mb),
        serving_ms: Spread::of(serving_ms),
    };
    print!("{figures}");
    Ok(figures)
}
