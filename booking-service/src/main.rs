//! The binary of booking-service.

use std::process::ExitCode;

use booking_service::{
    app,
    commands::verify_events::VerifyEventsCommand,
    outbox::command::{self as dead_letters, DeadLettersCommand},
    settings::{ServiceArgs, Settings},
};
use clap::{Parser, Subcommand};
use teppan_shared::{
    cli::{self, Command},
    config,
    identity::TokenCommand,
    service,
};

/// Venues, their slots, and the bookings on them, over gRPC.
///
/// Every setting is a flag and an environment variable. Without DATABASE_URL the service starts on
/// a private PostgreSQL of its own.
#[derive(Parser)]
#[command(name = app::DEFINITION.name, version = app::VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Option<BookingCommand>,
    // What a command has of its own comes first in its help.
    #[command(flatten, next_help_heading = "Settings")]
    args: ServiceArgs,
}

#[derive(Subcommand)]
enum BookingCommand {
    #[command(flatten)]
    Common(Command),
    /// List, retry or discard what could not be delivered
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Make tokens for callers
    #[command(subcommand)]
    Token(TokenCommand),
    /// Hold every booking against its events, and repair rows that differ
    ///
    /// Derives every booking from its events once more and holds it against its row: the chain of hashes, each
    /// column, and the seats that slots count. It only reads, in short statements, and runs beside the service.
    ///
    /// Each finding is a line on stdout, with ids and names of columns and no personal data; the summary is on
    /// stderr. Exit code 0: nothing is wrong; 1: there are findings; 2: wrong usage or settings; 3: it could not
    /// be done; 130: it was interrupted.
    VerifyEvents(VerifyEventsCommand),
}

fn main() -> ExitCode {
    let (cli, problems, misspelt) = config::read::<Cli>();
    // Before the settings are looked at: the first token is made when there is no file of credentials yet.
    if let Some(BookingCommand::Token(command)) = &cli.command {
        return command.run();
    }
    let settings = match Settings::parse(&cli.args, problems) {
        Ok(settings) => settings,
        Err(problems) => return service::refuse(&app::DEFINITION, &problems, &misspelt),
    };
    if let Err(code) = service::shed_postgres_variables(&app::DEFINITION, &settings.common) {
        return code;
    }
    let command = cli.command.unwrap_or(BookingCommand::Common(Command::default()));
    if !matches!(command, BookingCommand::Common(_))
        && let Err(problems) = settings.common.require_named_database()
    {
        return service::refuse(&app::DEFINITION, &problems, &misspelt);
    }
    let start = async |registry| {
        misspelt.warn();
        app::start(&settings, registry).await
    };
    cli::block_on(async {
        match command {
            BookingCommand::Common(command) => command.run(&app::DEFINITION, &settings.common, start).await,
            BookingCommand::Token(command) => command.run(),
            BookingCommand::DeadLetters(command) => dead_letters::run(command, &settings).await,
            BookingCommand::VerifyEvents(command) => command.run(&settings).await,
        }
    })
}
