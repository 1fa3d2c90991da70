//! Compares booking-service with a model of it, for any number of operations.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use teppan_shared::embedded::exec_without_postgres_variables;
use teppan_tests::{
    model::Drive,
    tool::{INTERRUPTED, Interrupt},
};

/// Makes random calls to booking-service, single and concurrent, moves the clock, and compares every answer and
/// everything that can be read with a model of the contract.
///
/// Each case of 400 operations has two replicas and a database of its own. The first case that disagrees is shrunk and
/// printed. Exit code 0 when all agree, 1 when a case disagrees, 130 when interrupted.
#[derive(Parser)]
#[command(name = "model", version)]
struct Cli {
    /// Operations in all
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,
    /// Seed of the operations: the same seed makes the same ones. Default: a random seed
    #[arg(long)]
    seed: Option<u64>,
    /// Only this case of the seed
    #[arg(long)]
    case: Option<u64>,
    /// Concurrent cases
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    at_once: u8,
    /// How long a disagreeing case is shrunk, in seconds
    #[arg(long, default_value_t = 300)]
    shrink_seconds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = exec_without_postgres_variables() {
        eprintln!("model: {error}");
        return ExitCode::FAILURE;
    }
    let drive = Drive {
        seed: cli.seed.unwrap_or_else(rand::random),
        operations: cli.operations as usize,
        case: cli.case,
        at_once: cli.at_once.into(),
        shrink_for: Duration::from_secs(cli.shrink_seconds),
    };
    println!("seed {}", drive.seed);
    let bar = ProgressBar::new(cli.operations.into());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} operations, {elapsed}, {eta} to go") {
        bar.set_style(style);
    }
    let interrupt = Interrupt::listen();
    let outcome =
        interrupt.unless_interrupted(Box::pin(drive.go(|done| bar.set_position(done.operations as u64)))).await;
    bar.finish_and_clear();
    match outcome {
        None => ExitCode::from(INTERRUPTED),
        Some(Ok(tally)) => {
            print!("{tally}");
            println!("Model and service agree.");
            ExitCode::SUCCESS
        }
        Some(Err(disagreement)) => {
            println!("{disagreement}");
            ExitCode::FAILURE
        }
    }
}
