//! The binary of conversation-service.

use std::process::ExitCode;

use clap::Parser;
use conversation_service::{
    app,
    settings::{ServiceArgs, Settings},
};
use teppan_shared::{
    cli::{self, Command},
    config, service,
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
    let (cli, problems, misspelt) = config::read::<Cli>();
    let settings = match Settings::parse(&cli.args, problems) {
        Ok(settings) => settings,
        Err(problems) => return service::refuse(&app::DEFINITION, &problems, &misspelt),
    };
    let start = async |registry| {
        misspelt.warn();
        app::start(&settings, Some(registry)).await
    };
    cli::block_on(cli.command.unwrap_or_default().run(&app::DEFINITION, &settings.common, start))
}
