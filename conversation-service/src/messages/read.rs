use std::collections::HashMap;

use teppan_shared::read_error::ReadError;

use super::{Message, MessageRow, Messages, row::MessageAnswer};
use crate::domain::MessageId;

impl Messages {
    /// Reads messages by their ids, in any conversation. An id that no message has is left out.
    ///
    /// # Errors
    /// [`ReadError`], without `NotFound`.
    pub(super) async fn read(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>, ReadError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        let read = || sqlx::query_file_as!(MessageAnswer, "src/messages/read.sql", &ids);
        let rows = self.database.fetch_all(read).await?;
        let open = |row: MessageRow| Ok((row.message_id, row.open(&self.ring)?));
        rows.into_iter().map(|row| open(row.message)).collect()
    }
}
