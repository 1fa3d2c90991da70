//! The binary of conversation-service.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conversation_service::{
    app,
    settings::{ServiceArgs, Settings},
};
use teppan_shared::service;

/// Conversations, and every message said in them, over gRPC.
///
/// Every setting is a flag and an environment variable. Without DATABASE_URL the service starts on
/// a private PostgreSQL of its own.
#[derive(Parser)]
#[command(name = app::DEFINITION.name, version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    args: ServiceArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve,
    /// Apply the database migrations that are missing, and end
    Migrate,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::parse(&cli.args) {
        Ok(settings) => settings,
        Err(problems) => return service::refuse(&app::DEFINITION, &problems),
    };
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let start = async |registry| app::start(&settings, Some(registry)).await;
            service::serve(&app::DEFINITION, &settings.common, start).await
        }
        Command::Migrate => service::migrate(&app::DEFINITION, &settings.common).await,
    }
}
