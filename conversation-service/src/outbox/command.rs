//! The command `conversation-service dead-letters`.

use std::process::ExitCode;

use clap::Args;
use teppan_shared::{
    outbox::{self, DeadLetterFilter, Owner},
    service,
};

use crate::{app::DEFINITION, domain::ConversationId, settings::Settings};

const OWNER: Owner = Owner { heading: "CONVERSATION", field: "conversation_id" };

/// The operations on dead letters.
pub type DeadLettersCommand = outbox::DeadLettersCommand<FilterArgs>;

/// Filters; dead letters must match all that are given.
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
        command.run(OWNER, &super::open(open.database.clone(), settings)).await
    })
    .await
}

fn parse_conversation(raw: &str) -> Result<ConversationId, &'static str> {
    ConversationId::parse(raw.to_owned())
}

impl From<FilterArgs> for DeadLetterFilter {
    fn from(args: FilterArgs) -> Self {
        let aggregate_id = args.conversation.map(|id| id.as_str().to_owned());
        Self { destination: None, event_type: args.event_type, aggregate_id }
    }
}
