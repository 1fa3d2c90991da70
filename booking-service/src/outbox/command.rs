//! `booking-service dead-letters`: lists, retries and discards dead letters.

use std::process::ExitCode;

use clap::Args;
use teppan_shared::{
    outbox::{self, DeadLetterFilter, Owner},
    service,
};
use uuid::Uuid;

use super::dead_letters::OutboxOperations;
use super::{CONVERSATION_SERVICE, STRIPE};
use crate::{app::DEFINITION, settings::Settings};

const DESTINATIONS: [&str; 3] = [CONVERSATION_SERVICE, outbox::EVENT_STREAM, STRIPE];
const OWNER: Owner = Owner { heading: "BOOKING", field: "booking_id" };

/// The subcommands of `dead-letters`.
pub type DeadLettersCommand = outbox::DeadLettersCommand<FilterArgs>;

/// Selects the dead letters that match every given filter.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only dead letters of this destination; stripe: events from Stripe that could not be applied
    #[arg(long, value_parser = DESTINATIONS)]
    destination: Option<String>,
    /// Only dead letters with this event type, such as teppan.booking.created.v1
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only dead letters of this booking
    #[arg(long, value_name = "UUID")]
    booking: Option<Uuid>,
}

/// Runs the command on the database of the settings, and returns the exit code of the process.
pub async fn run(command: DeadLettersCommand, settings: &Settings) -> ExitCode {
    service::on_database(&DEFINITION, &settings.common, async |open| {
        let (database, clock) = (open.database.clone(), settings.clock);
        let outbox = super::open(database.clone(), settings);
        command.run(OWNER, &OutboxOperations { outbox, database, clock }).await
    })
    .await
}

impl From<FilterArgs> for DeadLetterFilter {
    fn from(args: FilterArgs) -> Self {
        Self {
            destination: args.destination,
            event_type: args.event_type,
            aggregate_id: args.booking.map(|id| id.to_string()),
        }
    }
}
