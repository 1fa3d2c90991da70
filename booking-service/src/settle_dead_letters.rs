use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{core::Core, domain::OutboxDestination, list_dead_letters::DeadLetterFilter};

/// Which dead letters.
#[derive(Debug, Clone)]
pub enum DeadLetterSelection {
    /// Those with these ids, at most 1,000.
    Ids(Vec<Uuid>),
    /// Every one that matches.
    All(DeadLetterFilter),
}

/// What is done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It is delivered again, with all its attempts before it.
    Retry,
    /// It is given up, and later messages of its booking go on.
    Discard,
}

/// How many dead letters were settled, and how many of the selection are left for another call.
#[derive(Debug, Clone)]
pub struct Settled {
    pub settled: i64,
    pub remaining: i64,
    /// The ids of the selection that were none, or no longer.
    pub unknown: Vec<Uuid>,
}

impl Core {
    /// Settles at most 1,000 dead letters. What is no longer one is left as it is.
    ///
    /// # Errors
    /// When the database gave no answer; what was selected may then be settled or not.
    pub async fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection,
    ) -> Result<Settled, DatabaseError> {
        let everything = DeadLetterFilter::default();
        let (ids, filter) = match selection {
            DeadLetterSelection::Ids(ids) => (Some(ids.as_slice()), &everything),
            DeadLetterSelection::All(filter) => (None, filter),
        };
        let now = self.clock.now();
        let settle = || {
            sqlx::query_file_as!(
                Settled,
                "queries/settle_dead_letters.sql",
                settlement == Settlement::Retry,
                now,
                ids,
                filter.destination.map(OutboxDestination::as_str),
                filter.event_type,
                filter.booking_id.map(|id| id.0),
            )
        };
        let settled = self.database.fetch_one(settle).await?;
        for destination in OutboxDestination::ALL {
            self.outbox.nudge(destination);
        }
        Ok(settled)
    }
}
