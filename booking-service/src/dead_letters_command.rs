//! `booking-service dead-letters`: what could not be delivered, for an operator at a terminal.

use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::json;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::ReadError,
    service::{self, OpenDatabase},
};
use uuid::Uuid;

use crate::{
    app::DEFINITION,
    core::Core,
    domain::{BookingId, OutboxDestination},
    list_dead_letters::{DeadLetter, DeadLetterFilter},
    outbox::Outbox,
    settings::Settings,
    settle_dead_letters::{DeadLetterSelection, Settlement},
};

/// Dead letters that are read or settled in one statement.
const PAGE_SIZE: u16 = 1000;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List them in the order in which they were given up
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// How they are shown: as a table, or as JSON, one a line
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Most of them to show
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Deliver them again, with all their attempts before them
    Retry(SelectionArgs),
    /// Give them up for good: they are not delivered, and later messages of their bookings go on
    Discard(SelectionArgs),
}

/// How a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

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

/// Those with the given ids, or all that match the filters.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct SelectionArgs {
    /// Dead letters, by their ids
    #[arg(value_name = "DEAD_LETTER_ID", group = "which")]
    ids: Vec<Uuid>,
    /// Every one that matches the filters
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// The command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("the dead letters cannot be read")]
    Read(#[from] ReadError),
    #[error("the dead letters cannot be changed")]
    Settle(#[from] DatabaseError),
    #[error("filters go with --all, not with ids")]
    FilteredIds,
    #[error("these are no dead letters, or no longer: {}; `dead-letters list` shows those there are", list_of(.0))]
    Unknown(Vec<Uuid>),
}

impl DeadLettersCommand {
    /// Does it on the database of the settings, and tells the process's exit code.
    pub async fn run(self, settings: &Settings) -> ExitCode {
        service::on_database(&DEFINITION, &settings.common, async |open| {
            let core = core(open, settings);
            match self {
                Self::List { filter, output, limit } => list(&core, &filter.into(), output, limit).await,
                Self::Retry(selection) => settle(&core, Settlement::Retry, selection).await,
                Self::Discard(selection) => settle(&core, Settlement::Discard, selection).await,
            }
        })
        .await
    }
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

async fn list(core: &Core, filter: &DeadLetterFilter, output: Output, limit: usize) -> Result<(), CommandError> {
    let (mut after, mut left) = (None, limit);
    if output == Output::Table {
        println!("{:36}  {:20}  {:30}  {:36}  ATTEMPTS  REASON", "DEAD LETTER", "DESTINATION", "EVENT TYPE", "BOOKING");
    }
    while left > 0 {
        let page =
            core.list_dead_letters(filter, after, PAGE_SIZE.min(u16::try_from(left).unwrap_or(PAGE_SIZE))).await?;
        left -= page.dead_letters.len();
        for dead in &page.dead_letters {
            println!("{}", if output == Output::Json { as_json(dead) } else { as_row(dead) });
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
    if after.is_some() {
        eprintln!("There are more: --limit shows more of them.");
    }
    Ok(())
}

fn as_row(dead: &DeadLetter) -> String {
    format!(
        "{:36}  {:20}  {:30}  {:36}  {:>8}  {}",
        dead.id, dead.destination, dead.event_type, dead.booking_id, dead.attempts, dead.last_error_reason
    )
}

/// The fields as the contract names them.
fn as_json(dead: &DeadLetter) -> String {
    json!({
        "dead_letter_id": dead.id,
        "event_id": dead.event_id,
        "event_type": dead.event_type,
        "destination": dead.destination.as_str(),
        "booking_id": dead.booking_id,
        "attempts": dead.attempts,
        "last_error_reason": dead.last_error_reason,
        "created_at": dead.created_at,
        "dead_at": dead.dead_at,
        "traceparent": dead.traceparent,
    })
    .to_string()
}

/// What was done so far.
#[derive(Default)]
struct Progress {
    settled: i64,
    unknown: Vec<Uuid>,
}

async fn settle(core: &Core, settlement: Settlement, selection: SelectionArgs) -> Result<(), CommandError> {
    let is_filtered = selection.filter.is_given();
    let selections = match selection {
        SelectionArgs { all: true, filter, .. } => vec![DeadLetterSelection::All(filter.into())],
        SelectionArgs { .. } if is_filtered => return Err(CommandError::FilteredIds),
        SelectionArgs { mut ids, .. } => {
            ids.sort_unstable();
            ids.dedup(); // one that is named twice would be unknown the second time
            ids.chunks(PAGE_SIZE.into()).map(|ids| DeadLetterSelection::Ids(ids.to_vec())).collect()
        }
    };
    let mut progress = Progress::default();
    let done = settle_each(core, settlement, &selections, &mut progress).await;
    let Progress { settled, unknown } = progress;
    // What was done before the rest failed stays done.
    if done.is_ok() || settled > 0 {
        let what = if settlement == Settlement::Retry { "put back into delivery" } else { "discarded" };
        println!("{settled} dead letters were {what}.");
    }
    let unknown = if unknown.is_empty() { Ok(()) } else { Err(CommandError::Unknown(unknown)) };
    match (done, unknown) {
        (Err(error), Err(unknown)) => {
            eprintln!("{unknown}");
            Err(error.into())
        }
        (done, unknown) => done.map_err(CommandError::from).and(unknown),
    }
}

/// Goes on until nothing is left of what there was at the beginning: a message that is refused again and
/// again is retried once.
async fn settle_each(
    core: &Core,
    settlement: Settlement,
    selections: &[DeadLetterSelection],
    progress: &mut Progress,
) -> Result<(), DatabaseError> {
    for selection in selections {
        let mut done = core.settle_dead_letters(settlement, selection).await?;
        let mut left = done.remaining;
        progress.unknown.append(&mut done.unknown);
        progress.settled += done.settled;
        while left > 0 && done.remaining > 0 {
            done = core.settle_dead_letters(settlement, selection).await?;
            left -= done.settled.max(1);
            progress.settled += done.settled;
        }
    }
    Ok(())
}

fn list_of(ids: &[Uuid]) -> String {
    ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}

impl FilterArgs {
    fn is_given(&self) -> bool {
        self.destination.is_some() || self.event_type.is_some() || self.booking.is_some()
    }
}

impl From<FilterArgs> for DeadLetterFilter {
    fn from(args: FilterArgs) -> Self {
        Self { destination: args.destination, event_type: args.event_type, booking_id: args.booking.map(BookingId) }
    }
}

fn parse_destination(raw: &str) -> Result<OutboxDestination, &'static str> {
    OutboxDestination::from_column(raw).ok_or("must be conversation-service or event-stream")
}
