use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{DestinationStatus, Outbox};
use crate::postgres::DatabaseError;

/// The most dead letters that one call settles; the SQL statements have the same number.
pub const SETTLED_MAX: i64 = 1000;

/// A message that could not be delivered: a row of the view `dead_letters`.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: Uuid,
    pub event_id: String,
    pub event_type: String,
    pub destination: String,
    /// The booking or the conversation, whose later messages wait behind this one.
    pub aggregate_id: String,
    pub attempts: i32,
    /// In UPPER_SNAKE_CASE.
    pub last_error_reason: String,
    pub created_at: DateTime<Utc>,
    pub dead_at: DateTime<Utc>,
    pub traceparent: Option<String>,
}

/// The cursor position of a page: it starts after the dead letter with this time and id.
pub type DeadLetterCursor = (DateTime<Utc>, Uuid);

/// Dead letters, and the cursor of the next page if there is one.
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetter>,
    pub next: Option<DeadLetterCursor>,
}

/// Matches dead letters that meet every given filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub destination: Option<String>,
    pub event_type: Option<String>,
    pub aggregate_id: Option<String>,
}

/// Which dead letters a call settles.
#[derive(Debug, Clone)]
pub enum DeadLetterSelection {
    /// Dead letters with these ids, at most 1,000.
    Ids(Vec<Uuid>),
    /// Every dead letter that matches.
    All(DeadLetterFilter),
}

impl DeadLetterSelection {
    /// The ids, when the selection is by ids.
    pub fn ids(&self) -> Option<&[Uuid]> {
        match self {
            Self::Ids(ids) => Some(ids),
            Self::All(_) => None,
        }
    }

    /// The filter; an empty one when the selection is by ids.
    pub fn filter(&self) -> DeadLetterFilter {
        match self {
            Self::Ids(_) => DeadLetterFilter::default(),
            Self::All(filter) => filter.clone(),
        }
    }
}

/// What happens to a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It is delivered again, with a full number of attempts.
    Retry,
    /// It is removed, and later messages of its aggregate continue.
    Discard,
}

/// How many dead letters were settled, and how many of the selection remain for another call.
#[derive(Debug, Clone)]
pub struct Settled {
    pub settled: i64,
    pub remaining: i64,
    /// Ids of the selection that are not dead letters now.
    pub unknown: Vec<Uuid>,
}

/// The operations on a service's outbox. conversation-service has its own implementation, because some of its dead
/// letters are follow-ups and not outbox messages.
pub trait Operations: Sync {
    /// Reads the status of each destination that is or was in use.
    ///
    /// # Errors
    /// When the database does not answer.
    fn read_status(&self) -> impl Future<Output = Result<Vec<DestinationStatus>, DatabaseError>> + Send;

    /// Lists dead letters after the cursor, in the order in which they became dead letters.
    ///
    /// # Errors
    /// When the database does not answer.
    fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        page_size: u16,
    ) -> impl Future<Output = Result<DeadLetterPage, DatabaseError>> + Send;

    /// Settles at most [`SETTLED_MAX`] dead letters. A message that is no dead letter any more is not changed.
    ///
    /// # Errors
    /// When the database does not answer; it is then unknown whether the selection was settled.
    fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection,
    ) -> impl Future<Output = Result<Settled, DatabaseError>> + Send;
}

impl Operations for Outbox {
    async fn read_status(&self) -> Result<Vec<DestinationStatus>, DatabaseError> {
        self.statuses().await
    }

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        page_size: u16,
    ) -> Result<DeadLetterPage, DatabaseError> {
        let (dead_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        let list = || {
            sqlx::query_file_as!(
                DeadLetter,
                "src/outbox/list_dead_letters.sql",
                dead_at,
                id,
                filter.destination.as_deref(),
                filter.event_type.as_deref(),
                filter.aggregate_id.as_deref(),
                i64::from(page_size) + 1,
            )
        };
        let mut dead_letters = self.database.fetch_all(list).await?;
        let more = dead_letters.len() > page_size.into();
        dead_letters.truncate(page_size.into());
        let next = dead_letters.last().filter(|_| more).map(|last| (last.dead_at, last.id));
        Ok(DeadLetterPage { dead_letters, next })
    }

    async fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection,
    ) -> Result<Settled, DatabaseError> {
        let filter = selection.filter();
        let now = self.clock.now();
        let settle = || {
            sqlx::query_file_as!(
                Settled,
                "src/outbox/settle_dead_letters.sql",
                settlement == Settlement::Retry,
                now,
                selection.ids(),
                filter.destination.as_deref(),
                filter.event_type.as_deref(),
                filter.aggregate_id.as_deref(),
            )
        };
        let settled = self.database.fetch_one(settle).await?;
        for (_, nudge) in self.nudges.iter() {
            nudge.nudge();
        }
        Ok(settled)
    }
}
