//! What operators do with events that could not be published.

use chrono::DateTime;
use teppan_shared::{
    outbox::{DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterSelection, DeadLetters, Settled, Settlement},
    postgres::DatabaseError,
};
use uuid::Uuid;

use crate::{domain::ConversationId, events::Outbox};

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

impl DeadLetters for Outbox {
    type Filter = DeadLetterFilter;
    const OWNER: (&'static str, &'static str) = ("CONVERSATION", "conversation_id");

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
                "queries/list_dead_letters.sql",
                dead_at,
                id,
                filter.event_type,
                filter.conversation_id(),
                i64::from(page_size) + 1,
            )
        };
        Ok(DeadLetterPage::of(self.database.fetch_all(list).await?, page_size))
    }

    async fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection<DeadLetterFilter>,
    ) -> Result<Settled, DatabaseError> {
        let filter = selection.filter();
        let now = self.clock.now();
        let settle = || {
            sqlx::query_file_as!(
                Settled,
                "queries/settle_dead_letters.sql",
                settlement == Settlement::Retry,
                now,
                selection.ids(),
                filter.and_then(|filter| filter.event_type.as_deref()),
                filter.and_then(DeadLetterFilter::conversation_id),
            )
        };
        let settled = self.database.fetch_one(settle).await?;
        self.events.pending.nudge();
        Ok(settled)
    }
}
