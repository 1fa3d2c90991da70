use std::{sync::Arc, time::Duration, vec};

use chrono::{DateTime, Utc};
use futures::stream::{self, Stream};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};
use tokio::time::Instant;

use super::{
    Message, Messages,
    followed::{Follower, Seen},
    row::MessageRow,
};
use crate::domain::ConversationId;

/// The most messages that a stream holds, and their most bytes unless one message is larger.
const PAGE_MESSAGES_MAX: i64 = 100;
const PAGE_BYTES_MAX: i64 = 1 << 20;
/// A step without a message is sent when nothing was sent for this long.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A message, or only the position of the stream.
pub struct Step {
    pub message: Option<Message>,
    /// Every message up to this one was sent, or is before the beginning of the stream.
    pub through_sequence: i64,
}

/// Why a stream cannot begin or continue.
#[derive(Debug, thiserror::Error)]
pub enum StreamMessagesError {
    /// Also when it was deleted and begun anew.
    #[error("the conversation does not exist, or does not exist any more")]
    NotFound,
    #[error("the conversation has only {message_count} messages")]
    Ahead { message_count: i64 },
    #[error("the message at sequence {sequence} is corrupted")]
    Unreadable { sequence: i64, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Messages {
    /// Streams the messages after a sequence, and then each message as it is stored, by whatever replica.
    ///
    /// The stream reads only when the client asks for the next step: a slow reader holds one page in memory. Dropping
    /// the stream frees all its state.
    ///
    /// # Errors
    /// [`StreamMessagesError`], before the stream or as its last item.
    pub async fn stream(
        self: Arc<Self>,
        conversation_id: ConversationId,
        after_sequence: i64,
    ) -> Result<impl Stream<Item = Result<Step, StreamMessagesError>> + Send + 'static, StreamMessagesError> {
        // Before the first read: no message that is stored in between is missed.
        let follower = self.followed.follow(&conversation_id);
        let page = self.next_page(&conversation_id, after_sequence).await?;
        if after_sequence > page.message_count {
            return Err(StreamMessagesError::Ahead { message_count: page.message_count });
        }
        let reader = Reader {
            messages: self,
            conversation_id,
            created_at: page.created_at,
            follower,
            looked_into: Seen::Unknown,
            reached: after_sequence,
            known: page.message_count,
            rows: page.rows.into_iter(),
            is_caught_up: false,
            last_step_at: Instant::now(),
        };
        Ok(stream::try_unfold(reader, async |mut reader| Ok(Some((reader.next().await?, reader)))))
    }

    async fn next_page(&self, conversation_id: &ConversationId, after: i64) -> Result<Page, StreamMessagesError> {
        let id = conversation_id.as_str();
        let read =
            || sqlx::query_file_as!(Row, "src/messages/stream.sql", id, after, PAGE_MESSAGES_MAX, PAGE_BYTES_MAX);
        let rows = self.database.fetch_all(read).await?;
        let first = rows.first().ok_or(StreamMessagesError::NotFound)?;
        let (created_at, message_count) = (first.created_at, first.message_count);
        Ok(Page { created_at, message_count, rows: rows.into_iter().filter_map(|row| row.message).collect() })
    }
}

/// A row of `stream.sql`.
struct Row {
    created_at: DateTime<Utc>,
    message_count: i64,
    message: Option<MessageRow>,
}

struct Page {
    created_at: DateTime<Utc>,
    message_count: i64,
    rows: Vec<MessageRow>,
}

/// One stream, between two steps.
struct Reader {
    messages: Arc<Messages>,
    conversation_id: ConversationId,
    /// Tells the conversation from a later one with its id.
    created_at: DateTime<Utc>,
    follower: Follower,
    /// The last news of the follower that led to a read.
    looked_into: Seen,
    /// Every message up to this sequence was sent.
    reached: i64,
    /// The number of messages at the last read.
    known: i64,
    /// Messages that were read and not sent yet.
    rows: vec::IntoIter<MessageRow>,
    /// Whether the client knows that it has all there is.
    is_caught_up: bool,
    last_step_at: Instant,
}

impl Reader {
    async fn next(&mut self) -> Result<Step, StreamMessagesError> {
        loop {
            if let Some(row) = self.rows.next() {
                let sequence = row.sequence;
                if sequence != self.reached + 1 {
                    return Err(self.missing());
                }
                let message = row.open(&self.messages.ring);
                let message = message.map_err(|source| StreamMessagesError::Unreadable { sequence, source })?;
                self.reached = sequence;
                return Ok(self.step(Some(message)));
            }
            if self.reached < self.known {
                self.read().await?;
            } else if !self.is_caught_up {
                self.is_caught_up = true;
                return Ok(self.step(None));
            } else if self.wait().await {
                self.read().await?;
            } else {
                return Ok(self.step(None));
            }
        }
    }

    async fn read(&mut self) -> Result<(), StreamMessagesError> {
        let page = self.messages.next_page(&self.conversation_id, self.reached).await?;
        if page.created_at != self.created_at {
            return Err(StreamMessagesError::NotFound);
        }
        self.known = page.message_count;
        self.rows = page.rows.into_iter();
        // Otherwise each step would read again at once, without an end.
        if self.reached < self.known && self.rows.len() == 0 { Err(self.missing()) } else { Ok(()) }
    }

    /// Sequences have no gaps, so a message that is not there was removed from the table.
    fn missing(&self) -> StreamMessagesError {
        let source = Corrupted::Column("messages.sequence");
        StreamMessagesError::Unreadable { sequence: self.reached + 1, source }
    }

    /// Waits until there is something to read; `false` when a heartbeat is due before.
    async fn wait(&mut self) -> bool {
        let heartbeat_at = self.last_step_at + HEARTBEAT;
        loop {
            let seen = *self.follower.seen.borrow_and_update();
            let is_news = match seen {
                Seen::Unknown => false,
                Seen::Gone => true,
                Seen::There { created_at, message_count } => {
                    created_at != self.created_at || message_count > self.reached
                }
            };
            // What an earlier stream left may be older than what this one has read: it is looked into once.
            if is_news && seen != self.looked_into {
                self.looked_into = seen;
                return true;
            }
            if !is_news {
                self.looked_into = Seen::Unknown;
            }
            tokio::select! {
                // The sender lives as long as the follower.
                _ = self.follower.seen.changed() => {}
                () = tokio::time::sleep_until(heartbeat_at) => return false,
            }
        }
    }

    fn step(&mut self, message: Option<Message>) -> Step {
        self.last_step_at = Instant::now();
        Step { message, through_sequence: self.reached }
    }
}
