//! `booking-service dead-letters`: what could not be delivered, for an operator at a terminal.

use std::process::ExitCode;

use clap::Args;
use teppan_shared::{
    outbox,
    service::{self, OpenDatabase},
};
use uuid::Uuid;

use crate::{
    app::DEFINITION,
    core::Core,
    domain::{BookingId, OutboxDestination},
    outbox::Outbox,
    outbox::dead_letters::DeadLetterFilter,
    settings::Settings,
};

/// What to do with dead letters.
pub type DeadLettersCommand = outbox::DeadLettersCommand<FilterArgs>;

/// Only those that match every filter given.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only to this destination: conversation-service or event-stream
    #[arg(long, value_parser = parse_destination)]
    destination: Option<OutboxDestination>,
    /// Only with events of this type, such as teppan.booking.created.v1
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of this booking
    #[arg(long, value_name = "UUID")]
    booking: Option<Uuid>,
}

/// Does it on the database of the settings, and tells the process's exit code.
pub async fn run(command: DeadLettersCommand, settings: &Settings) -> ExitCode {
    service::on_database(&DEFINITION, &settings.common, async |open| command.run(&core(open, settings)).await).await
}

fn core(open: &OpenDatabase, settings: &Settings) -> Core {
    let outbox = Outbox::new(open.database.clone(), settings.clock, settings.outbox.clone());
    Core::new(
        open.database.clone(),
        &open.keys,
        settings.clock,
        settings.default_phone_region,
        settings.event_stream,
        outbox,
        None,
    )
}

impl From<FilterArgs> for DeadLetterFilter {
    fn from(args: FilterArgs) -> Self {
        Self { destination: args.destination, event_type: args.event_type, booking_id: args.booking.map(BookingId) }
    }
}

fn parse_destination(raw: &str) -> Result<OutboxDestination, &'static str> {
    OutboxDestination::from_column(raw).ok_or("must be conversation-service or event-stream")
}
