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
}

fn main() -> ExitCode {
    let (cli, problems, misspelt) = config::read::<Cli>();
    // Before the settings are checked, because the first token is created before there is a credentials file.
    if let Some(ConversationCommand::Token(command)) = &cli.command {
        return command.run();
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
            ConversationCommand::DeadLetters(command) => dead_letters::run(command, &settings).await,
        }
    })
}
