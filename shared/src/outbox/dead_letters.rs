use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::postgres::DatabaseError;

/// A message that could not be delivered: a row of a service's statement.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: Uuid,
    pub event_id: Uuid,
    pub event_type: String,
    pub destination: String,
    /// The booking or conversation of the event. Its later messages wait behind this one.
    pub owner: String,
    pub attempts: i32,
    /// In UPPER_SNAKE_CASE.
    pub last_error_reason: String,
    pub created_at: DateTime<Utc>,
    pub dead_at: DateTime<Utc>,
    pub traceparent: Option<String>,
}

/// Where a page starts: after the dead letter with this time and id.
pub type DeadLetterCursor = (DateTime<Utc>, Uuid);

/// Dead letters, and where the next page starts if there is one.
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetter>,
    pub next: Option<DeadLetterCursor>,
}

impl DeadLetterPage {
    /// The page of what was read: one more than its size, if there are more.
    pub fn of(mut read: Vec<DeadLetter>, page_size: u16) -> Self {
        let more = read.len() > page_size.into();
        read.truncate(page_size.into());
        let next = read.last().filter(|_| more).map(|last| (last.dead_at, last.id));
        Self { dead_letters: read, next }
    }
}

/// Which dead letters.
#[derive(Debug, Clone)]
pub enum DeadLetterSelection<F> {
    /// Those with these ids, at most 1,000.
    Ids(Vec<Uuid>),
    /// Every one that matches.
    All(F),
}

impl<F> DeadLetterSelection<F> {
    /// The ids, if it is by ids.
    pub fn ids(&self) -> Option<&[Uuid]> {
        match self {
            Self::Ids(ids) => Some(ids),
            Self::All(_) => None,
        }
    }

    /// The filter, if it is by a filter.
    pub fn filter(&self) -> Option<&F> {
        match self {
            Self::Ids(_) => None,
            Self::All(filter) => Some(filter),
        }
    }
}

/// What is done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It is delivered again, with a full number of attempts.
    Retry,
    /// It is removed, and later messages of its owner continue.
    Discard,
}

/// How many dead letters were settled, and how many of the selection are left for another call.
#[derive(Debug, Clone)]
pub struct Settled {
    pub settled: i64,
    pub remaining: i64,
    /// Ids of the selection that are not dead letters, or no longer.
    pub unknown: Vec<Uuid>,
}

/// The dead letters of a service.
pub trait DeadLetters: Sync {
    /// Only dead letters that match all of it; the default matches every one.
    type Filter: Default + PartialEq + Sync;

    /// The name of an owner: as a column heading, and as a field of the contract.
    const OWNER: (&'static str, &'static str);

    /// Lists dead letters in the order in which they were given up, from behind the cursor.
    ///
    /// # Errors
    /// When the database gave no answer.
    fn list_dead_letters(
        &self,
        filter: &Self::Filter,
        after: Option<DeadLetterCursor>,
        page_size: u16,
    ) -> impl Future<Output = Result<DeadLetterPage, DatabaseError>> + Send;

    /// Settles at most 1,000 dead letters. A message that is no longer one is left as it is.
    ///
    /// # Errors
    /// When the database gave no answer; what was selected may then be settled or not.
    fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection<Self::Filter>,
    ) -> impl Future<Output = Result<Settled, DatabaseError>> + Send;
}
