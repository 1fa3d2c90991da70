use teppan_shared::read_error::ReadError;

use crate::{
    conversation_row::ConversationRow,
    core::Core,
    domain::{Conversation, ConversationId},
};

impl Core {
    /// Reads one conversation.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_conversation(&self, conversation_id: &ConversationId) -> Result<Conversation, ReadError> {
        let id = conversation_id.as_str();
        let row = self
            .database
            .fetch_optional(|| sqlx::query_file_as!(ConversationRow, "queries/get_conversation.sql", id))
            .await?;
        Ok(row.ok_or(ReadError::NotFound)?.read()?)
    }
}
