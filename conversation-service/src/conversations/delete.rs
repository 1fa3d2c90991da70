use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, telemetry};

use super::Conversations;
use crate::domain::ConversationId;

/// The most runs of the statement for one call. Only a deadlock, with a statement that breaks the order of locks,
/// needs another run.
const ATTEMPTS_MAX: u32 = 4;
const DEADLOCK_DETECTED: &str = "40P01";

/// What a call deleted: nothing, when there was nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    pub messages: i64,
    pub follow_ups: i64,
}

impl Conversations {
    /// Deletes a conversation and all that belongs to it, in one round trip. `by` is the name of the caller's
    /// credential.
    ///
    /// # Errors
    /// When the database does not answer. The conversation may have been deleted; a repeated call then deletes nothing.
    pub async fn delete(&self, conversation_id: &ConversationId, by: &str) -> Result<Deleted, DatabaseError> {
        self.delete_if(conversation_id, by, None).await
    }

    /// [`Self::delete`]; with `idle_since` only a conversation that has not changed since then, is not escalated, and
    /// has no unfinished follow-up.
    pub(super) async fn delete_if(
        &self,
        conversation_id: &ConversationId,
        by: &str,
        idle_since: Option<DateTime<Utc>>,
    ) -> Result<Deleted, DatabaseError> {
        let mut attempts = 1;
        let deleted = loop {
            match self.delete_once(conversation_id, by, idle_since).await {
                Err(error) if error.has_code(DEADLOCK_DETECTED) && attempts < ATTEMPTS_MAX => attempts += 1,
                deleted => break deleted?,
            }
        };
        if deleted != Deleted::default() {
            self.events.pending.nudge();
        }
        Ok(deleted)
    }

    async fn delete_once(
        &self,
        conversation_id: &ConversationId,
        by: &str,
        idle_since: Option<DateTime<Utc>>,
    ) -> Result<Deleted, DatabaseError> {
        let (now, traceparent) = (self.clock.now(), telemetry::current_traceparent());
        let delete = || {
            sqlx::query_file_as!(
                Deleted,
                "src/conversations/delete.sql",
                conversation_id.as_str(),
                now,
                by,
                self.events.published,
                traceparent.as_deref(),
                idle_since,
            )
        };
        self.database.fetch_one(delete).await
    }
}
