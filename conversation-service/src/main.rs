//! The binary of conversation-service.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conversation_service::{
    app,
    outbox::command::{self as dead_letters, DeadLettersCommand},
    settings::{ServiceArgs, Settings},
};
use teppan_shared::{
    cli::{self, Command},
    config,
    identity::TokenCommand,
    keys::GenerateKeyCommand,
    rotation::RotateKeysCommand,
    service,
};

/// Conversations, and every message said in them, over gRPC.
///
/// Every setting is a flag and an environment variable. Without DATABASE_URL the service starts a
/// private PostgreSQL.
#[derive(Parser)]
#[command(name = app::DEFINITION.name, version = app::VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Option<ConversationCommand>,
    // A command's own options come first in its help.
    #[command(flatten, next_help_heading = "Settings")]
    args: ServiceArgs,
}

#[derive(Subcommand)]
enum ConversationCommand {
    #[command(flatten)]
    Common(Command),
    /// List, retry or discard events that could not be published
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
    /// what is done stays done. At the end it prints on stdout how many values each key seals. The hashes by which users
    /// are found are made anew as well; those by which repeated messages are recognised are not. A value that cannot be
    /// opened is a line on stdout with its table and key. Exit code 0: the first key seals everything; 1: not everything;
    /// 2: wrong usage or settings; 3: the command failed; 130: interrupted.
    RotateKeys(RotateKeysCommand),
}

/// The end of `rotate-keys`.
const KEYS_STAY: &str = "now. Keep the older keys for as long as clients may repeat earlier messages: without them a \
                         repetition is refused, because the hashes that recognise it are not made anew.";

fn main() -> ExitCode {
    let (cli, problems, misspelt) = config::read::<Cli>();
    // Before the settings are checked, because the first token is created before there is a credentials file.
    match &cli.command {
        Some(ConversationCommand::Token(command)) => return command.run(),
        Some(ConversationCommand::GenerateKey(command)) => return command.run(),
        _ => {}
    }
    let settings = match Settings::parse(&cli.args, problems) {
        Ok(settings) => settings,
        Err(problems) => return service::refuse(&app::DEFINITION, &problems, &misspelt),
    };
    if let Err(code) = service::exec_without_postgres_variables(&app::DEFINITION, &settings.common) {
        return code;
    }
    let command = cli.command.unwrap_or(ConversationCommand::Common(Command::default()));
    if !matches!(command, ConversationCommand::Common(_))
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
            ConversationCommand::Common(command) => command.run(&app::DEFINITION, &settings.common, start).await,
            ConversationCommand::Token(command) => command.run(),
            ConversationCommand::GenerateKey(command) => command.run(),
            ConversationCommand::RotateKeys(command) => {
                command.run(&app::DEFINITION, &settings.common, &app::SEALED_TABLES, KEYS_STAY, 0).await
            }
            ConversationCommand::DeadLetters(command) => dead_letters::run(command, &settings).await,
        }
    })
}
