use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use super::{Message, Messages, row::MessageRow};
use crate::domain::{ConversationId, SequenceOrder, SequenceRange};

/// A page ends before its text and metadata grow past this. With all the rest of a thousand messages
/// it stays below the 4 MiB that gRPC clients accept by default.
const PAGE_BYTES_MAX: i64 = 2 << 20;

/// Messages, and the sequence the page ended with if there is another.
pub struct MessagePage {
    pub messages: Vec<Message>,
    pub next: Option<i64>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListMessagesError {
    #[error("there is no such conversation")]
    NotFound,
    /// With those behind its sequence the list goes on.
    #[error("the message at sequence {sequence} is corrupted")]
    Unreadable { sequence: i64, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Messages {
    /// Lists messages of a conversation by sequence, in one round trip. A page ends before a message that
    /// cannot be read.
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
        let rows = self.message_rows(conversation_id, range, order, page_size).await?;
        // Without messages there is one row, which says that the conversation is there.
        let found = rows.first().ok_or(ListMessagesError::NotFound)?.found.unwrap_or(0);
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows.into_iter().filter_map(ListedRow::message).take(page_size.into()) {
            let sequence = row.sequence;
            match row.open(conversation_id.clone(), &self.ring) {
                Ok(message) => messages.push(message),
                Err(source) if messages.is_empty() => return Err(ListMessagesError::Unreadable { sequence, source }),
                Err(_) => break,
            }
        }
        let more = found > i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let next = messages.last().filter(|_| more).map(|last| last.sequence);
        Ok(MessagePage { messages, next })
    }

    /// The page, and the row after it if there is one and it is not too large.
    async fn message_rows(
        &self,
        conversation_id: &ConversationId,
        range: SequenceRange,
        order: SequenceOrder,
        page_size: u16,
    ) -> Result<Vec<ListedRow>, DatabaseError> {
        let (conversation_id, limit) = (conversation_id.as_str(), i64::from(page_size) + 1);
        let SequenceRange { after, before } = range;
        match order {
            SequenceOrder::OldestFirst => {
                let oldest_first = || {
                    sqlx::query_file_as!(
                        ListedRow,
                        "src/messages/list_oldest_first.sql",
                        conversation_id,
                        after,
                        before,
                        limit,
                        PAGE_BYTES_MAX,
                    )
                };
                self.database.fetch_all(oldest_first).await
            }
            SequenceOrder::NewestFirst => {
                let newest_first = || {
                    sqlx::query_file_as!(
                        ListedRow,
                        "src/messages/list_newest_first.sql",
                        conversation_id,
                        after,
                        before,
                        limit,
                        PAGE_BYTES_MAX,
                    )
                };
                self.database.fetch_all(newest_first).await
            }
        }
    }
}

/// A row of the statements, which say what it means.
struct ListedRow {
    found: Option<i64>,
    message_id: Option<Uuid>,
    sequence: Option<i64>,
    role: Option<String>,
    channel: Option<String>,
    content_sealed: Option<Vec<u8>>,
    emotion_score: Option<f64>,
    emotion_label: Option<String>,
    emotion_detected: Option<Vec<String>>,
    metadata_sealed: Option<Vec<u8>>,
    sent_at: Option<DateTime<Utc>>,
    stored_at: Option<DateTime<Utc>>,
    input_tokens: Option<i32>,
    output_tokens: Option<i32>,
}

impl ListedRow {
    /// The message in the row; `None` in the row of a page without any.
    fn message(self) -> Option<MessageRow> {
        Some(MessageRow {
            message_id: self.message_id?,
            sequence: self.sequence?,
            role: self.role?,
            channel: self.channel?,
            content_sealed: self.content_sealed?,
            emotion_score: self.emotion_score,
            emotion_label: self.emotion_label,
            emotion_detected: self.emotion_detected?,
            metadata_sealed: self.metadata_sealed,
            sent_at: self.sent_at?,
            stored_at: self.stored_at?,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
        })
    }
}
