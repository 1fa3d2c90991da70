//! The binary of conversation-service.

use std::process::ExitCode;

use clap::Parser;
use conversation_service::{
    app,
    settings::{ServiceArgs, Settings},
};
use teppan_shared::{
    cli::{self, Command},
    service,
};

/// Conversations, and every message said in them, over gRPC.
///
/// Every setting is a flag and an environment variable. Without DATABASE_URL the service starts on
/// a private PostgreSQL of its own.
#[derive(Parser)]
#[command(name = app::DEFINITION.name, version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    // What a command has of its own comes first in its help.
    #[command(flatten, next_help_heading = "Settings")]
    args: ServiceArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::parse(&cli.args) {
        Ok(settings) => settings,
        Err(problems) => return service::refuse(&app::DEFINITION, &problems),
    };
    if let Err(code) = service::shed_postgres_variables(&app::DEFINITION, &settings.common) {
        return code;
    }
    let start = async |registry| app::start(&settings, Some(registry)).await;
    cli::block_on(cli.command.unwrap_or_default().run(&app::DEFINITION, &settings.common, start))
}
