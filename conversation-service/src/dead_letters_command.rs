//! `conversation-service dead-letters`: what could not be published, for an operator at a terminal.

use std::process::ExitCode;

use clap::Args;
use teppan_shared::{outbox, service};

use crate::{
    app::DEFINITION,
    dead_letters::DeadLetterFilter,
    domain::ConversationId,
    events::{Events, Outbox},
    settings::Settings,
};

/// The subcommands for dead letters.
pub type DeadLettersCommand = outbox::DeadLettersCommand<FilterArgs>;

/// Only those that match every filter given.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only with events of this type, such as teppan.follow_up.due.v1
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of this conversation
    #[arg(long, value_name = "ID", value_parser = parse_conversation)]
    conversation: Option<ConversationId>,
}

/// Runs the command on the database of the settings, and returns the exit code of the process.
pub async fn run(command: DeadLettersCommand, settings: &Settings) -> ExitCode {
    service::on_database(&DEFINITION, &settings.common, async |open| {
        command.run(&Outbox::new(open.database.clone(), settings, Events::new(settings))).await
    })
    .await
}

fn parse_conversation(raw: &str) -> Result<ConversationId, &'static str> {
    ConversationId::parse(raw.to_owned())
}

impl From<FilterArgs> for DeadLetterFilter {
    fn from(args: FilterArgs) -> Self {
        Self { event_type: args.event_type, conversation_id: args.conversation }
    }
}
