//! The binary of booking-service.

use std::process::ExitCode;

use booking_service::{
    app,
    commands::{export_customer::ExportCustomerCommand, rotate_keys, verify_events::VerifyEventsCommand},
    outbox::command::{self as dead_letters, DeadLettersCommand},
    settings::{ServiceArgs, Settings},
};
use clap::{Parser, Subcommand};
use teppan_shared::{
    cli::{self, Command},
    config,
    identity::TokenCommand,
    keys::GenerateKeyCommand,
    rotation::RotateKeysCommand,
    service,
};

/// Venues, their slots, and bookings, over gRPC.
///
/// Every setting is a flag and an environment variable. Without DATABASE_URL the service starts a
/// private PostgreSQL.
#[derive(Parser)]
#[command(name = app::DEFINITION.name, version = app::VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Option<BookingCommand>,
    // A command's own options come before the settings in its help.
    #[command(flatten, next_help_heading = "Settings")]
    args: ServiceArgs,
}

#[derive(Subcommand)]
enum BookingCommand {
    #[command(flatten)]
    Common(Command),
    /// List, retry or discard messages that could not be delivered
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Make tokens for callers
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print a new secret for ENCRYPTION_KEYS
    GenerateKey(GenerateKeyCommand),
    /// Seal everything that an older key sealed under the first key of ENCRYPTION_KEYS
    ///
    /// Runs beside the service, in short statements, at a bounded rate, and can be interrupted and repeated at any time:
    /// what is done stays done. It also makes the hashes of customers anew. At the end it prints on stdout how many values
    /// each key seals, and on stderr when an older key may be removed from ENCRYPTION_KEYS. A value that cannot be opened
    /// is a line on stdout with its table and key. Exit code 0: the first key seals everything; 1: not everything; 2: wrong usage or settings; 3: the command failed; 130: interrupted.
    RotateKeys(RotateKeysCommand),
    /// Print everything that both services store about a customer, as JSON
    ///
    /// The customer, the bookings with their payments, the waitlist entries, and the conversations with their messages
    /// and follow-ups. It reads its own database, and conversation-service by the settings of the outbox. The progress
    /// is on stderr. Conversations that another customer's bookings name too are only listed. Exit code 0: complete; 1:
    /// failed, and what was printed is incomplete; 2: wrong usage or settings.
    ExportCustomer(ExportCustomerCommand),
    /// Compare every booking with its events, and repair rows that differ
    ///
    /// Derives every booking from its events and compares it with its row: the chain of hashes, each column, and
    /// the reserved seats of slots. Compares events with the signed checkpoints, which need the service's keys, and
    /// figures with the payments. It only reads, in short statements, and can run while the service runs.
    ///
    /// It needs up to 80 MB of memory for the first million events, and no more for further ones: it reads the
    /// checkpoints once for each million.
    ///
    /// Each finding is a line on stdout, with ids and column names and no personal data; the summary is on stderr.
    /// Exit code 0: no findings; 1: findings; 2: wrong usage or settings; 3: the command failed; 130: interrupted.
    VerifyEvents(VerifyEventsCommand),
}

fn main() -> ExitCode {
    let (cli, problems, misspelt) = config::read::<Cli>();
    // Before the settings are read: the first token is made when no credentials file exists yet.
    match &cli.command {
        Some(BookingCommand::Token(command)) => return command.run(),
        Some(BookingCommand::GenerateKey(command)) => return command.run(),
        _ => {}
    }
    let settings = match Settings::parse(&cli.args, problems) {
        Ok(settings) => settings,
        Err(problems) => return service::refuse(&app::DEFINITION, &problems, &misspelt),
    };
    if let Err(code) = service::exec_without_postgres_variables(&app::DEFINITION, &settings.common) {
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
            BookingCommand::GenerateKey(command) => command.run(),
            BookingCommand::ExportCustomer(command) => command.run(&settings).await,
            BookingCommand::RotateKeys(command) => rotate_keys::run(command, &settings).await,
            BookingCommand::DeadLetters(command) => dead_letters::run(command, &settings).await,
            BookingCommand::VerifyEvents(command) => command.run(&settings).await,
        }
    })
}
