//! Times the hot calls through gRPC beside the very same statements driven by pgbench.

mod case;
mod create_booking;
mod error;
mod load;
mod machine;
mod pgbench;
mod report;
mod sample;
mod stage;
mod store_message;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use teppan_tests::tool::{INTERRUPTED, Interrupt};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    case::{Case, Run, With},
    error::BenchError,
    load::Clients,
    pgbench::Pgbench,
    report::{CaseReport, EmptyCall, Environment, Report, ServiceFigures},
    sample::{Spread, Timing},
    stage::{Served, Side, Stage},
};

/// Times the hot calls through gRPC beside the very same statements driven by pgbench.
///
/// Both services run as processes of their own on a PostgreSQL of their own, whose commits wait for
/// the disk, and which is gone afterwards. The two sides take turns, on the same tables, with as many
/// clients and the same session settings; each has slots and conversations of its own. That all
/// calls were written is checked after each measurement.
///
/// Settings of the services, such as DATABASE_MAX_CONNECTIONS, are taken from the environment.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    /// How often both sides are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seconds that one measurement counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=10))]
    seconds: u64,
    /// Seconds before that in which calls are made but not counted
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=10))]
    warm_up_seconds: u64,
    /// Only the cases whose name contains this, such as `CreateBooking, 1 client`
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// One round of one second: to see that everything works
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

/// How often the time to SERVING is taken.
const STARTS: usize = 5;
/// Clients of the empty call.
const EMPTY_CALL_CLIENTS: [usize; 3] = [1, 8, 32];

// One thread makes the load, as in pgbench: what it costs to wake more is not the services' cost.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
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

/// Sets the stage, measures, and clears it again; `None` when it was told to stop.
async fn run(cli: &Cli) -> Result<Option<Report>, BenchError> {
    let cases = chosen(cli.only.as_deref())?;
    let pgbench = Pgbench::find(&cli.teppan_home)?;
    eprintln!("Starting PostgreSQL and both services…");
    let interrupt = Interrupt::listen();
    let Some(stage) = interrupt.unless_told(Stage::set(&cli.teppan_home)).await else { return Ok(None) };
    let stage = stage?;
    let measured = interrupt.unless_told(measure(cli, &cases, &pgbench, &stage)).await;
    stage.clear().await;
    let report = measured.transpose()?;
    if let (Some(report), Some(path)) = (&report, &cli.json) {
        write_json(report, path)?;
    }
    Ok(report)
}

fn chosen(only: Option<&str>) -> Result<Vec<Case>, BenchError> {
    let Some(pattern) = only else { return Ok(case::all()) };
    let cases: Vec<Case> = case::all().into_iter().filter(|case| case.name().contains(pattern)).collect();
    if cases.is_empty() { Err(BenchError::NoCase(pattern.to_owned())) } else { Ok(cases) }
}

/// Everything that is measured, printed as it comes.
async fn measure(cli: &Cli, cases: &[Case], pgbench: &Pgbench, stage: &Stage) -> Result<Report, BenchError> {
    let (rounds, seconds) = if cli.quick { (1, 1) } else { (cli.rounds.into(), cli.seconds) };
    let timing = Timing { warm_up: Duration::from_secs(cli.warm_up_seconds), counted: Duration::from_secs(seconds) };
    let with = With { stage, pgbench, timing, connections: cli.http2_connections.into() };

    let environment = environment(&with, rounds).await?;
    println!("{environment}");
    println!("An empty call (health) through gRPC, once:");
    let empty_calls = empty_calls(&with).await?;
    println!("\n{}", report::heading());
    let mut reports = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let Some(report) = rounds_of(case, number * rounds, rounds, &with).await? else { continue };
        println!("{report}");
        reports.push(report);
    }
    println!("Services:");
    let services = vec![service_figures(&stage.booking).await?, service_figures(&stage.conversation).await?];
    Ok(Report { environment, services, empty_calls, cases: reports })
}

/// All rounds of a case, the sides taking turns.
async fn rounds_of(
    case: &Case,
    first_run: usize,
    rounds: usize,
    with: &With<'_>,
) -> Result<Option<CaseReport>, BenchError> {
    let (mut bare, mut grpc) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        eprintln!("{}: round {} of {rounds}", case.name(), round + 1);
        let run = Run(first_run + round);
        bare.push(case.measure(Side::Pgbench, run, with).await?);
        grpc.push(case.measure(Side::Grpc, run, with).await?);
    }
    Ok(CaseReport::new(case, bare, grpc))
}

async fn environment(with: &With<'_>, rounds: usize) -> Result<Environment, BenchError> {
    let mut connection = with.stage.booking.connect().await?;
    let mut setting = async |name: &str| -> Result<String, BenchError> {
        Ok(sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await?)
    };
    let fsync = setting("fsync").await?;
    let synchronous_commit = setting("synchronous_commit").await?;
    let version = setting("server_version").await?;
    Ok(Environment {
        postgres: format!("PostgreSQL {version}"),
        pgbench: with.pgbench.version().await?,
        durable: fsync == "on" && synchronous_commit == "on",
        fsync,
        synchronous_commit,
        optimised: !cfg!(debug_assertions),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        rounds,
        seconds: with.timing.counted.as_secs(),
        warm_up_seconds: with.timing.warm_up.as_secs(),
        http2_connections: with.connections,
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

fn write_json(report: &Report, path: &Path) -> Result<(), BenchError> {
    let json = serde_json::to_vec_pretty(report).map_err(std::io::Error::other).map_err(BenchError::file(path))?;
    std::fs::write(path, json).map_err(BenchError::file(path))
}
