use teppan_shared::read_error::ReadError;

use super::{
    ContextWindow, ContextWindows, WindowBounds,
    bounds::{BYTES_MAX, SYSTEM_BYTES_MAX, SYSTEM_MAX},
    choose::{Candidates, choose},
};
use crate::{domain::ConversationId, messages::MessageRow, summaries::SummaryRow};

impl ContextWindows {
    /// Reads what a model needs to continue a conversation, in one round trip whose cost does not depend on the length
    /// of the conversation.
    ///
    /// # Errors
    /// [`ReadError`]. A message that cannot be read is an error: leaving it out would change what the model knows.
    pub async fn get(
        &self,
        conversation_id: &ConversationId,
        bounds: WindowBounds,
    ) -> Result<ContextWindow, ReadError> {
        // The newest messages may be system messages, which do not count.
        let newest = i64::from(bounds.messages.get()) + i64::try_from(SYSTEM_MAX).unwrap_or(i64::MAX);
        let bytes = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let load = || {
            sqlx::query_file_as!(
                Row,
                "src/context_windows/load.sql",
                conversation_id.as_str(),
                newest,
                bytes(BYTES_MAX),
                bytes(SYSTEM_BYTES_MAX),
            )
        };
        let rows = self.database.fetch_all(load).await?;
        let message_count = rows.first().ok_or(ReadError::NotFound)?.message_count;
        let (mut messages, mut summary) = (Vec::with_capacity(rows.len()), None);
        for row in rows {
            messages.extend(row.message.map(|row| row.open(&self.ring)).transpose()?);
            summary = summary.or(row.summary);
        }
        let summary = summary.map(|row| row.open(conversation_id, &self.ring)).transpose()?;
        Ok(choose(Candidates { messages, summary, message_count }, bounds))
    }
}

/// A row of `load.sql`.
struct Row {
    message_count: i64,
    summary: Option<SummaryRow>,
    message: Option<MessageRow>,
}
