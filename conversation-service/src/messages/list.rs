use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{Message, Messages, row::MessageRow};
use crate::domain::{ConversationId, SequenceOrder, SequenceRange};

/// The most bytes of text, parts and metadata of a page; a single message is far smaller. With the other fields of a
/// thousand messages, an answer stays below the 4 MiB that gRPC clients accept by default.
const PAGE_BYTES_MAX: i64 = 2 << 20;

/// Messages, and the last sequence of the page if there is another page.
pub struct MessagePage {
    pub messages: Vec<Message>,
    pub next: Option<i64>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListMessagesError {
    #[error("the conversation does not exist")]
    NotFound,
    /// The list continues after this sequence.
    #[error("the message at sequence {sequence} is corrupted")]
    Unreadable { sequence: i64, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Messages {
    /// Lists messages of a conversation by sequence, in one round trip. A page ends before a message that cannot be
    /// opened.
    ///
    /// # Errors
    /// [`ListMessagesError`].
    pub async fn list(
        &self,
        conversation_id: &ConversationId,
        range: SequenceRange,
        order: SequenceOrder,
        page_size: u16,
    ) -> Result<MessagePage, ListMessagesError> {
        macro_rules! page {
            ($file:literal) => {
                self.database
                    .fetch_all(|| {
                        sqlx::query_file_as!(
                            ListedRow,
                            $file,
                            conversation_id.as_str(),
                            range.after,
                            range.before,
                            i64::from(page_size) + 1,
                            PAGE_BYTES_MAX,
                        )
                    })
                    .await?
            };
        }
        let rows = match order {
            SequenceOrder::OldestFirst => page!("src/messages/list_oldest_first.sql"),
            SequenceOrder::NewestFirst => page!("src/messages/list_newest_first.sql"),
        };
        // A conversation without messages in the range has one row.
        let found = rows.first().ok_or(ListMessagesError::NotFound)?.found.unwrap_or(0);
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows.into_iter().filter_map(|row| row.message).take(page_size.into()) {
            let sequence = row.sequence;
            match row.open(&self.ring) {
                Ok(message) => messages.push(message),
                Err(source) if messages.is_empty() => return Err(ListMessagesError::Unreadable { sequence, source }),
                Err(_) => break,
            }
        }
        let more = found > i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let next = messages.last().filter(|_| more).map(|last| last.sequence);
        Ok(MessagePage { messages, next })
    }
}

/// A row of the statements.
struct ListedRow {
    found: Option<i64>,
    message: Option<MessageRow>,
}
