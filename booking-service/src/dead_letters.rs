//! What operators do with messages that could not be delivered.

use chrono::{DateTime, Utc};
use teppan_shared::{
    outbox::{DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterSelection, DeadLetters, Settled, Settlement},
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{BookingId, OutboxDestination},
};

/// Only dead letters that match every filter given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub destination: Option<OutboxDestination>,
    pub event_type: Option<String>,
    pub booking_id: Option<BookingId>,
}

impl DeadLetters for Core {
    type Filter = DeadLetterFilter;
    const OWNER: (&'static str, &'static str) = ("BOOKING", "booking_id");

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        page_size: u16,
    ) -> Result<DeadLetterPage, ReadError> {
        let (dead_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        let list = || {
            sqlx::query_file_as!(
                Row,
                "queries/list_dead_letters.sql",
                dead_at,
                id,
                filter.destination.map(OutboxDestination::as_str),
                filter.event_type,
                filter.booking_id.map(|id| id.0),
                i64::from(page_size) + 1,
            )
        };
        let rows = self.database.fetch_all(list).await?;
        let read = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(DeadLetterPage::of(read, page_size))
    }

    async fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection<DeadLetterFilter>,
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

/// A row of the statement.
struct Row {
    dead_letter_id: Uuid,
    event_id: Uuid,
    event_type: String,
    destination: String,
    booking_id: Uuid,
    attempts: i32,
    last_error_reason: String,
    created_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
    traceparent: Option<String>,
}

impl Row {
    fn read(self) -> Result<DeadLetter, Corrupted> {
        let destination = OutboxDestination::from_column(&self.destination);
        Ok(DeadLetter {
            id: self.dead_letter_id,
            event_id: self.event_id,
            event_type: self.event_type,
            destination: destination.ok_or(Corrupted::Column("outbox_messages.destination"))?.as_str(),
            owner: self.booking_id.to_string(),
            attempts: self.attempts,
            last_error_reason: self.last_error_reason,
            created_at: self.created_at,
            dead_at: self.dead_at,
            traceparent: self.traceparent,
        })
    }
}
