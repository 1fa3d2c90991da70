//! The command `dead-letters`: an operator lists, retries or discards messages that could not be delivered.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::{DeadLetter, DeadLetterFilter, DeadLetterSelection, Operations, Settlement};
use crate::postgres::DatabaseError;

/// Dead letters that are read or settled in one statement.
const PAGE_SIZE: u16 = 1000;

/// What a service calls the aggregate of a message: as a column heading, and as a field of the contract.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub heading: &'static str,
    pub field: &'static str,
}

/// What to do with dead letters. `F` are a service's filters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand<F: Args> {
    /// List dead letters, the oldest first
    List {
        #[command(flatten)]
        filter: F,
        /// Output format: a table, or one JSON object a line
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Most dead letters to show
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Deliver dead letters again, with a full number of attempts
    Retry(SelectionArgs<F>),
    /// Discard dead letters: they are never delivered, and the messages behind them continue
    Discard(SelectionArgs<F>),
}

/// How a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

/// Selects dead letters by id, or all that match the filters.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct SelectionArgs<F: Args> {
    /// Dead letters, by their ids
    #[arg(value_name = "DEAD_LETTER_ID", group = "which")]
    ids: Vec<Uuid>,
    /// Every dead letter that matches the filters
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    filter: F,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("the dead letters cannot be read")]
    Read(#[source] DatabaseError),
    #[error("the dead letters cannot be changed: run the command again when the database is back")]
    Settle(#[source] DatabaseError),
    #[error("filters go with --all, not with ids")]
    FilteredIds,
}

impl<F: Args + Into<DeadLetterFilter>> DeadLettersCommand<F> {
    /// Runs the command and reports the result on stdout.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self, owner: Owner, operations: &impl Operations) -> Result<(), CommandError> {
        match self {
            Self::List { filter, output, limit } => list(operations, owner, &filter.into(), output, limit).await,
            Self::Retry(selection) => settle(operations, Settlement::Retry, selection).await,
            Self::Discard(selection) => settle(operations, Settlement::Discard, selection).await,
        }
    }
}

async fn list(
    all: &impl Operations,
    owner: Owner,
    filter: &DeadLetterFilter,
    output: Output,
    limit: usize,
) -> Result<(), CommandError> {
    let (mut after, mut left) = (None, limit);
    let heading = owner.heading;
    if output == Output::Table {
        println!("{:36}  {:20}  {:30}  {heading:36}  ATTEMPTS  REASON", "DEAD LETTER", "DESTINATION", "EVENT TYPE");
    }
    while left > 0 {
        let page_size = PAGE_SIZE.min(u16::try_from(left).unwrap_or(PAGE_SIZE));
        let page = all.list_dead_letters(filter, after, page_size).await.map_err(CommandError::Read)?;
        left -= page.dead_letters.len();
        for dead in &page.dead_letters {
            println!("{}", if output == Output::Json { as_json(dead, owner.field) } else { as_row(dead) });
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
        dead.id, dead.destination, dead.event_type, dead.aggregate_id, dead.attempts, dead.last_error_reason
    )
}

/// The fields as the contract names them.
fn as_json(dead: &DeadLetter, owner_field: &str) -> String {
    json!({
        "dead_letter_id": dead.id,
        "event_id": dead.event_id,
        "event_type": dead.event_type,
        "destination": dead.destination,
        owner_field: dead.aggregate_id,
        "attempts": dead.attempts,
        "last_error_reason": dead.last_error_reason,
        "created_at": dead.created_at,
        "dead_at": dead.dead_at,
        "traceparent": dead.traceparent,
    })
    .to_string()
}

/// The result so far.
#[derive(Default)]
struct Progress {
    settled: i64,
    unknown: Vec<Uuid>,
}

async fn settle<F: Args + Into<DeadLetterFilter>>(
    all: &impl Operations,
    settlement: Settlement,
    selection: SelectionArgs<F>,
) -> Result<(), CommandError> {
    let filter = selection.filter.into();
    let mut ids = selection.ids;
    let selections = if selection.all {
        vec![DeadLetterSelection::All(filter)]
    } else if filter != DeadLetterFilter::default() {
        return Err(CommandError::FilteredIds);
    } else {
        ids.sort_unstable();
        ids.dedup(); // the second occurrence of an id would be reported as unknown
        ids.chunks(PAGE_SIZE.into()).map(|ids| DeadLetterSelection::Ids(ids.to_vec())).collect()
    };
    let mut progress = Progress::default();
    let done = settle_each(all, settlement, &selections, &mut progress).await;
    let Progress { settled, unknown } = progress;
    // Earlier statements stay committed when a later one fails.
    if done.is_ok() || settled > 0 {
        let what = if settlement == Settlement::Retry { "put back into delivery" } else { "discarded" };
        println!("{settled} dead letters were {what}.");
    }
    // This is no failure: if the answer of the database was lost, a repeated command finds these ids already settled.
    if !unknown.is_empty() {
        eprintln!(
            "{} are not dead letters now: they were retried or discarded before, or never were any. `dead-letters list` \
             shows the current ones. Left alone: {}",
            unknown.len(),
            list_of(&unknown)
        );
    }
    done.map_err(CommandError::Settle)
}

/// Settles as many dead letters as there were at the beginning. So a message that is refused again at once is retried
/// only once.
async fn settle_each(
    all: &impl Operations,
    settlement: Settlement,
    selections: &[DeadLetterSelection],
    progress: &mut Progress,
) -> Result<(), DatabaseError> {
    for selection in selections {
        let mut done = all.settle_dead_letters(settlement, selection).await?;
        let mut left = done.remaining;
        progress.unknown.append(&mut done.unknown);
        progress.settled += done.settled;
        while left > 0 && done.remaining > 0 {
            done = all.settle_dead_letters(settlement, selection).await?;
            left -= done.settled.max(1);
            progress.settled += done.settled;
        }
    }
    Ok(())
}

fn list_of(ids: &[Uuid]) -> String {
    ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}
