//! `make demo`: plays a journey through both services, and explains it on the screen.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use teppan_tests::{
    launch::Shown,
    tool::{Given, INTERRUPTED, Interrupt, Screen, Services, StartError, millis},
};

use crate::{
    journal::{Failed, Journal, say},
    stage::Stage,
};

mod acts;
mod journal;
mod script;
mod show;
mod stage;

/// Starts both services, plays a journey through them, shows it, and stops everything.
///
/// The data is kept in a private PostgreSQL under TEPPAN_HOME (default: .teppan in this folder). The demo can run any
/// number of times on the same data. Exit code 0 when every step had the expected result, 1 when one had not, 130 after
/// Ctrl-C.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Cli {}

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse();
    let interrupt = Interrupt::listen();
    let mut journal = Journal::new(Screen::detect());
    journal.title("Teppan: a chat becomes a booking");
    say(journal.screen.dim("Starting both services and their PostgreSQL ..."));
    let secrets = ("STRIPE_WEBHOOK_SECRETS".to_owned(), acts::STRIPE_SECRET.to_owned());
    let livemode = ("STRIPE_LIVEMODE".to_owned(), "false".to_owned());
    let booking = Given { settings: [secrets, livemode].into(), ..Default::default() };
    // Not interrupted: services that were started must be stopped in order.
    let services = match Services::start(&booking, &Given::default(), Shown::Errors).await {
        Ok(services) => services,
        Err(error) => return cannot_start(&error),
    };
    journal.note("Start", "both services", services.started_in);
    introduce(&journal, &services);

    let mut stage = Stage::new(journal, &services);
    let played = interrupt.unless_interrupted(Box::pin(acts::play(&mut stage))).await;
    let mut journal = stage.journal;
    if played.is_none() {
        say("\nInterrupted: stopping both services ...");
    }
    let started = std::time::Instant::now();
    let stopped = services.stop(&interrupt).await;
    journal.note("Stop", "both services", started.elapsed());
    conclude(&journal, played, stopped)
}

fn cannot_start(error: &StartError) -> ExitCode {
    eprintln!("demo: {error}");
    ExitCode::FAILURE
}

fn introduce(journal: &Journal, services: &Services) {
    let screen = journal.screen;
    say(format!(
        "booking-service on {}, conversation-service on {}, ready after {}",
        screen.accent(services.booking.grpc),
        screen.accent(services.conversation.grpc),
        millis(services.started_in),
    ));
}

/// Prints the table, the result, and the next commands.
fn conclude(journal: &Journal, played: Option<Result<(), Failed>>, stopped: bool) -> ExitCode {
    let Some(played) = played else { return ExitCode::from(INTERRUPTED) };
    journal.heading("Times");
    say(journal.table());
    // Standard output before standard error, also when both go to one file.
    let _ = io::stdout().flush();
    if let Err(failed) = played {
        let act = journal.current_act();
        eprintln!("demo: the step \"{act}: {}\" failed: {}", failed.step, failed.why);
        return ExitCode::FAILURE;
    }
    if !stopped {
        eprintln!("demo: the journey succeeded, but a service did not exit with code 0");
        return ExitCode::FAILURE;
    }
    say(journal.screen.good("Every step succeeded."));
    say("Try next:");
    say("  make run     both services stay up, with grpcurl lines to paste");
    say("  make test    every test");
    ExitCode::SUCCESS
}
