use teppan_shared::{read_error::ReadError, telemetry};

use super::{Message, Messages, row::MessageAnswer};
use crate::domain::{ConversationId, MessageId};

impl Messages {
    /// Removes the text, the parts and the metadata of a message for good, in one round trip. `by` is the name of the
    /// caller's credential.
    ///
    /// A message that was redacted before stays as it is.
    ///
    /// # Errors
    /// [`ReadError`]. If the database does not answer, the message may have been redacted; repeat the call.
    pub async fn redact(
        &self,
        conversation_id: &ConversationId,
        message_id: MessageId,
        by: &str,
    ) -> Result<Message, ReadError> {
        let (now, traceparent) = (self.clock.now(), telemetry::current_traceparent());
        let redact = || {
            sqlx::query_file_as!(
                MessageAnswer,
                "src/messages/redact.sql",
                conversation_id.as_str(),
                message_id.0,
                now,
                by,
                self.events.published,
                traceparent.as_deref(),
            )
        };
        let row = self.database.fetch_optional(redact).await?.ok_or(ReadError::NotFound)?.message;
        if row.redacted_at == Some(now) {
            self.events.pending.nudge();
        }
        Ok(row.open(&self.ring)?)
    }
}
