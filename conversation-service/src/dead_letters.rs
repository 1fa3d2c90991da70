//! What operators do with events that could not be published.

use chrono::{DateTime, Utc};
use teppan_shared::{
    outbox::{DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterSelection, DeadLetters, Settled, Settlement},
    postgres::DatabaseError,
    read_error::ReadError,
};
use uuid::Uuid;

use crate::{core::Core, domain::ConversationId, publish_events::EVENT_STREAM};

/// Only dead letters that match every filter given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub event_type: Option<String>,
    pub conversation_id: Option<ConversationId>,
}

impl DeadLetterFilter {
    pub fn conversation_id(&self) -> Option<&str> {
        self.conversation_id.as_ref().map(ConversationId::as_str)
    }
}

impl DeadLetters for Core {
    type Filter = DeadLetterFilter;
    const OWNER: (&'static str, &'static str) = ("CONVERSATION", "conversation_id");

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
                filter.event_type,
                filter.conversation_id(),
                i64::from(page_size) + 1,
            )
        };
        let rows = self.database.fetch_all(list).await?;
        Ok(DeadLetterPage::of(rows.into_iter().map(Row::read).collect(), page_size))
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
                filter.event_type,
                filter.conversation_id(),
            )
        };
        let settled = self.database.fetch_one(settle).await?;
        self.events_pending.nudge();
        Ok(settled)
    }
}

/// A row of the statement.
struct Row {
    dead_letter_id: Uuid,
    event_id: Uuid,
    event_type: String,
    conversation_id: String,
    attempts: i32,
    last_error_reason: String,
    created_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
    traceparent: Option<String>,
}

impl Row {
    fn read(self) -> DeadLetter {
        DeadLetter {
            id: self.dead_letter_id,
            event_id: self.event_id,
            event_type: self.event_type,
            destination: EVENT_STREAM,
            owner: self.conversation_id,
            attempts: self.attempts,
            last_error_reason: self.last_error_reason,
            created_at: self.created_at,
            dead_at: self.dead_at,
            traceparent: self.traceparent,
        }
    }
}
