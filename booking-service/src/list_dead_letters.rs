use chrono::{DateTime, Utc};
use teppan_shared::read_error::{Corrupted, ReadError};
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{BookingId, OutboxDestination},
};

/// Only dead letters that match every filter given.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    pub destination: Option<OutboxDestination>,
    pub event_type: Option<String>,
    pub booking_id: Option<BookingId>,
}

/// A message that could not be delivered.
pub struct DeadLetter {
    pub id: Uuid,
    pub event_id: Uuid,
    pub event_type: String,
    pub destination: OutboxDestination,
    pub booking_id: Uuid,
    pub attempts: i32,
    pub last_error_reason: String,
    pub created_at: DateTime<Utc>,
    pub dead_at: DateTime<Utc>,
    pub traceparent: Option<String>,
}

/// Where a page starts: behind the dead letter given up then.
pub type DeadLetterCursor = (DateTime<Utc>, Uuid);

/// Dead letters, and where the next page starts if there is one.
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetter>,
    pub next: Option<DeadLetterCursor>,
}

impl Core {
    /// Lists dead letters in the order in which they were given up, from behind the cursor.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list_dead_letters(
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
        let mut rows = self.database.fetch_all(list).await?;
        let more = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let next = rows.last().filter(|_| more).map(|last| (last.dead_at, last.dead_letter_id));
        let dead_letters = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(DeadLetterPage { dead_letters, next })
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
            destination: destination.ok_or(Corrupted::Column("outbox_messages.destination"))?,
            booking_id: self.booking_id,
            attempts: self.attempts,
            last_error_reason: self.last_error_reason,
            created_at: self.created_at,
            dead_at: self.dead_at,
            traceparent: self.traceparent,
        })
    }
}
