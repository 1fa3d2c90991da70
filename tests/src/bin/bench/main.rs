//! Measures the services beside pgbench and beside a plain service.

mod beside;
mod case;
mod cli;
mod comparison;
mod create_booking;
mod distances;
mod environment;
mod error;
mod floor;
mod floors;
mod hot;
mod list_availability;
mod load;
mod measured;
mod open_loop;
mod pgbench;
mod report;
mod rotation;
mod rounds;
mod sample;
mod server;
mod side;
mod sizes;
mod stage;
mod store_message;
mod store_messages;
mod suggest_slots;

use std::{path::Path, process::ExitCode};

use clap::Parser as _;
use teppan_shared::embedded::{ThrowawayServer, exec_without_postgres_variables};
use teppan_tests::tool::{INTERRUPTED, Interrupt};

use crate::{
    case::{Case, With},
    cli::Cli,
    comparison::Comparison,
    distances::FarCase,
    environment::Environment,
    error::BenchError,
    floors::FloorCase,
    open_loop::OpenCase,
    pgbench::Pgbench,
    report::Report,
    rounds::Watch,
    sizes::SizedCall,
    stage::Stage,
};

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

/// What is measured of each part.
struct Chosen {
    hot: Vec<Case>,
    batches: bool,
    floors: Vec<FloorCase>,
    open_loop: Vec<OpenCase>,
    link: bool,
    far: Vec<FarCase>,
    sized: Vec<SizedCall>,
}

impl Chosen {
    fn by(cli: &Cli) -> Result<Self, BenchError> {
        let wanted = |name: &str| cli.wants(name);
        let chosen = Self {
            hot: case::all().into_iter().filter(|case| wanted(&case.subject().name)).collect(),
            batches: wanted(store_messages::NAME),
            floors: FloorCase::all().filter(|case| wanted(&case.name())).collect(),
            open_loop: OpenCase::all().into_iter().filter(|case| wanted(&case.subject().name)).collect(),
            link: wanted(distances::LINK),
            far: FarCase::all(&cli.distances()).into_iter().filter(|far| wanted(&far.subject().name)).collect(),
            sized: SizedCall::ALL.into_iter().filter(|call| wanted(call.name())).collect(),
        };
        let is_empty = !chosen.is_near() && !chosen.link && chosen.far.is_empty() && chosen.sized.is_empty();
        if is_empty { Err(BenchError::NoCase(cli.patterns())) } else { Ok(chosen) }
    }

    /// Whether anything needs the stage without a distance.
    fn is_near(&self) -> bool {
        self.batches || !self.floors.is_empty() || !self.hot.is_empty() || !self.open_loop.is_empty()
    }
}

/// Everything that was chosen; `None` if the user interrupted it.
async fn run(cli: &Cli) -> Result<Option<Report>, BenchError> {
    let chosen = Chosen::by(cli)?;
    let pgbench = Pgbench::find(&cli.teppan_home)?;
    let interrupt = Interrupt::listen();
    eprintln!("Starting PostgreSQL…");
    let Some(server) = interrupt.unless_interrupted(server::start(&cli.teppan_home)).await else { return Ok(None) };
    let server = server?;
    let measured = match (&cli.beside, cli.rotation) {
        (Some(folder), _) => Box::pin(measure_beside(cli, folder, &pgbench, &server, &interrupt)).await,
        (None, Some(rows)) => Box::pin(measure_rotation(cli, rows, &pgbench, &server, &interrupt)).await,
        (None, None) => Box::pin(measure(cli, chosen, &pgbench, &server, &interrupt)).await,
    };
    server.close().await;
    let Some(report) = measured? else { return Ok(None) };
    report.finish(cli.json.as_deref(), cli.report.as_deref())?;
    Ok(Some(report))
}

/// All parts, one after the other.
async fn measure(
    cli: &Cli,
    chosen: Chosen,
    pgbench: &Pgbench,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Report>, BenchError> {
    let mut report = Report::new(Environment::read(cli, pgbench, server).await?);
    println!("{}", report.environment);
    let watch = Watch::over(server);
    let begun = watch.now();
    if chosen.is_near() {
        let measured = measure_near(cli, &chosen, pgbench, server, interrupt, &mut report).await?;
        if measured.is_none() {
            return Ok(None);
        }
    }
    let Chosen { link, far, sized, .. } = chosen;
    if link || !far.is_empty() {
        let plan = distances::Plan {
            distances: &cli.distances(),
            cases: far,
            link,
            rounds: cli.fewer_rounds(),
            timing: cli.timing(),
            pgbench,
            connections: cli.http2_connections.into(),
        };
        let Some(measured) = distances::measure(&plan, server, interrupt).await? else { return Ok(None) };
        report.distances = measured;
    }
    if !sized.is_empty() {
        let plan = sizes::Plan {
            calls: sized,
            bookings: cli.booking_sizes(),
            messages: cli.message_sizes(),
            rounds: cli.rounds(),
            timing: cli.timing(),
            pgbench,
        };
        let Some(measured) = sizes::measure(&plan, server, interrupt).await? else { return Ok(None) };
        report.sizes = measured;
    }
    report.taken = begun.and_then(|begun| watch.since(&begun));
    Ok(Some(report))
}

/// The hot calls, StoreMessages and the open loops, on one stage without any distance; `None` if the user interrupted
/// it.
async fn measure_near(
    cli: &Cli,
    Chosen { hot, batches, floors, open_loop, .. }: &Chosen,
    pgbench: &Pgbench,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
    report: &mut Report,
) -> Result<Option<()>, BenchError> {
    eprintln!("Starting the services…");
    let Some(stage) = interrupt.unless_interrupted(Stage::set(server, "hot", None)).await else { return Ok(None) };
    let mut stage = stage?;
    let measuring = async {
        if !hot.is_empty() && !cli.quick {
            stage.measure_idle().await;
        }
        let (timing, connections) = (cli.timing(), cli.http2_connections.into());
        let with = With { server, stage: &stage, pgbench, timing, connections };
        if !hot.is_empty() {
            report.hot = Some(hot::measure(hot, cli.rounds(), cli.quick, &with).await?);
        }
        if *batches {
            report.batches = store_messages::measure(cli.rounds(), &with).await?.into_iter().collect();
        }
        report.floors = crate::floors::measure(floors, cli.rounds(), &with).await?;
        let plan =
            open_loop::Plan { cases: open_loop.clone(), rounds: cli.fewer_rounds(), quick: cli.quick, with: &with };
        report.open_loop = open_loop::measure(&plan).await?;
        Ok(())
    };
    let measured = interrupt.unless_interrupted(Box::pin(measuring)).await;
    stage.clear().await;
    measured.transpose()
}

/// Two builds side by side.
async fn measure_beside(
    cli: &Cli,
    folder: &Path,
    pgbench: &Pgbench,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Report>, BenchError> {
    let wants = |name: &str| cli.wants(name);
    let plan = beside::Plan {
        folder,
        distances: cli.distances(),
        wants: &wants,
        rounds: cli.rounds(),
        timing: cli.timing(),
        connections: cli.http2_connections.into(),
    };
    let measuring = Box::pin(beside::measure(&plan, server));
    measure_only(cli, pgbench, server, interrupt, measuring, |report| &mut report.beside).await
}

/// A rotation of the keys beside load.
async fn measure_rotation(
    cli: &Cli,
    rows: u32,
    pgbench: &Pgbench,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Report>, BenchError> {
    let plan = rotation::Plan { rows, rounds: cli.rounds(), timing: cli.timing() };
    let measuring = Box::pin(rotation::measure(&plan, server));
    measure_only(cli, pgbench, server, interrupt, measuring, |report| &mut report.rotation).await
}

/// A part that is measured and nothing else, and where it stands in the report; `None` if the user interrupted it.
async fn measure_only(
    cli: &Cli,
    pgbench: &Pgbench,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
    measuring: impl Future<Output = Result<Vec<Comparison>, BenchError>>,
    part: fn(&mut Report) -> &mut Vec<Comparison>,
) -> Result<Option<Report>, BenchError> {
    let mut report = Report::new(Environment::read(cli, pgbench, server).await?);
    println!("{}", report.environment);
    let watch = Watch::over(server);
    let begun = watch.now();
    let Some(measured) = interrupt.unless_interrupted(measuring).await else { return Ok(None) };
    *part(&mut report) = measured?;
    report.taken = begun.and_then(|begun| watch.since(&begun));
    Ok(Some(report))
}
