//! Times the background work with small and with large tables: completed work in the tables must not slow new work
//! down.

mod aggregation;
mod delivery;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use teppan_shared::{
    embedded::{Durability, ThrowawayServer, exec_without_postgres_variables},
    service::Definition,
};
use teppan_tests::tool::{Align, INTERRUPTED, Interrupt, Table};

/// Times one run of the emotion aggregation and one claimed and recorded batch of the outbox relay, in
/// databases with few and with many messages stored and events delivered.
///
/// The two sizes alternate on one PostgreSQL whose commits wait for the disk, with the session settings of the
/// services. Figures are medians of all rounds. Exit code 0 when neither takes more than 1.2 times as long in the large
/// database, 1 otherwise.
#[derive(Parser)]
#[command(name = "growth", version)]
struct Cli {
    /// Messages stored, and events delivered, in the small databases
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    small: u32,
    /// The same in the large databases
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    large: u32,
    /// Number of measurements of each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    /// Folder of the project's tools; the databases are temporary folders in it
    #[arg(long, env = "TEPPAN_HOME", default_value = ".teppan", value_name = "PATH")]
    teppan_home: PathBuf,
}

/// The bound of the time in the large database, relative to the small one.
const RATIO_MAX: f64 = 1.2;

/// A failed measurement.
#[derive(Debug, thiserror::Error)]
enum GrowthError {
    #[error(transparent)]
    Server(#[from] teppan_shared::embedded::EmbeddedError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = exec_without_postgres_variables() {
        eprintln!("growth: {error}");
        return ExitCode::FAILURE;
    }
    match run(&cli).await {
        Ok(Some(code)) => code,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("growth: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures both. Returns `None` when interrupted.
async fn run(cli: &Cli) -> Result<Option<ExitCode>, GrowthError> {
    let interrupt = Interrupt::listen();
    let Some(server) = interrupt.unless_interrupted(start(&cli.teppan_home)).await else { return Ok(None) };
    let server = server?;
    let measured = interrupt.unless_interrupted(measure(cli, &server)).await;
    server.close().await;
    measured.transpose()
}

async fn start(home: &Path) -> Result<ThrowawayServer, GrowthError> {
    eprintln!("Starting PostgreSQL ...");
    Ok(ThrowawayServer::start(home, Durability::Durable).await?)
}

async fn measure(cli: &Cli, server: &ThrowawayServer) -> Result<ExitCode, GrowthError> {
    let conversation = &conversation_service::app::DEFINITION;
    let mut small = database(server, conversation, cli.small, aggregation::FILL).await?;
    let mut large = database(server, conversation, cli.large, aggregation::FILL).await?;
    let aggregation = rounds(cli, &mut small, &mut large, aggregation::run).await?;

    let booking = &booking_service::app::DEFINITION;
    let mut small = database(server, booking, cli.small, delivery::FILL).await?;
    let mut large = database(server, booking, cli.large, delivery::FILL).await?;
    let delivery = rounds(cli, &mut small, &mut large, delivery::run).await?;

    println!("Small: {} messages stored and events delivered; large: {}.", cli.small, cli.large);
    let right = ["small, ms", "large, ms", "ratio"].map(|heading| (heading, Align::Right));
    let mut table = Table::new([("median of a batch", Align::Left)].into_iter().chain(right));
    let mut grows = false;
    for (what, (small, large)) in [("256 messages counted", aggregation), ("64 events claimed and recorded", delivery)]
    {
        let ms = |span: Duration| span.as_secs_f64() * 1000.0;
        let ratio = ms(large) / ms(small);
        grows |= ratio > RATIO_MAX;
        table.row([what.to_owned(), format!("{:.2}", ms(small)), format!("{:.2}", ms(large)), format!("{ratio:.2}")]);
    }
    println!("{table}");
    println!("In the large database each may take {RATIO_MAX} times as long.");
    Ok(if grows { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A database of a service with this many rows, with current statistics.
async fn database(
    server: &ThrowawayServer,
    definition: &Definition,
    count: u32,
    fill: &str,
) -> Result<Sized, GrowthError> {
    let name = format!("{}_{count}", definition.database);
    eprintln!("Making {name} ...");
    server.ensure_database(&name).await?;
    let url = server.url(&name);
    let options: PgConnectOptions = secrecy::ExposeSecret::expose_secret(&url).parse()?;
    let mut connection = options.clone().connect().await?;
    definition.migrator.run_direct(None, &mut connection, false).await?;
    for statement in fill.split("--;").map(|statement| statement.replace("$count", &count.to_string())) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    for command in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
        sqlx::raw_sql(command).execute(&mut connection).await?;
    }
    connection.close().await?;
    // The settings of the services' connections.
    let options =
        options.options([("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")]);
    Ok(Sized { connection: options.connect().await?, count })
}

/// A connection to a database with this many rows.
struct Sized {
    connection: PgConnection,
    count: u32,
}

/// The median times of both sizes, which alternate.
async fn rounds(
    cli: &Cli,
    small: &mut Sized,
    large: &mut Sized,
    run: impl AsyncFn(&mut Sized) -> Result<Duration, GrowthError>,
) -> Result<(Duration, Duration), GrowthError> {
    // The first round fills caches and makes plans.
    for _ in 0..5 {
        run(small).await?;
        run(large).await?;
    }
    let (mut smalls, mut larges) = (Vec::new(), Vec::new());
    for round in 1..=cli.rounds {
        if round % 10 == 0 {
            eprintln!("Round {round} of {}", cli.rounds);
        }
        smalls.push(run(small).await?);
        larges.push(run(large).await?);
    }
    Ok((median(smalls), median(larges)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Times some work.
async fn timed<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<(T, Duration), sqlx::Error> {
    let started = Instant::now();
    Ok((work.await?, started.elapsed()))
}
