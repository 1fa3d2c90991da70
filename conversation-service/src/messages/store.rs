use chrono::{DateTime, Utc};
use teppan_shared::{
    gather::{Joined, Turn},
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use super::{
    Message, Messages, NewMessage, StoreMessagesError, TokenCount, ToolCallRefusal,
    draft::{Draft, Receipt, score},
    store_gathered::{PlainMessage, PlainMessages},
};
use crate::emotions::Emotion;

/// The statement, to be prepared when a connection opens.
pub const STATEMENT: &str = include_str!("store.sql");

/// The most runs of a statement for one call. A faster concurrent duplicate costs one more run, which finds the
/// stored message. Further runs are needed only if that message is deleted meanwhile.
pub const ATTEMPTS_MAX: usize = 4;

/// A message, and whether an earlier call had stored it.
pub struct Stored {
    pub message: Message,
    pub replayed: bool,
}

/// Why there is no stored message.
#[derive(Debug, thiserror::Error)]
pub enum StoreMessageError {
    #[error("another message was stored under this id")]
    KeyReused,
    #[error("its tool call or result cannot be paired")]
    ToolCall(#[from] ToolCallRefusal),
    #[error("the id was taken and freed again in every attempt")]
    Contended,
    #[error("the stored message is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Messages {
    /// Appends a message to its conversation, in one round trip, together with other calls that wait. It creates or reopens the conversation as needed.
    ///
    /// A repeated call with the same message returns the result of the first call, even while the first call is still
    /// running.
    ///
    /// # Errors
    /// [`StoreMessageError`]. If the database does not answer, the message may have been stored; a repeated call
    /// returns the result.
    pub async fn store(&self, new: NewMessage) -> Result<Stored, StoreMessageError> {
        // The statement below has no step for words, so that it costs nothing where these are not kept.
        if new.parts.is_some() || self.words.is_some() {
            return self.store_alone(new).await;
        }
        let draft = self.draft(&new, self.clock.now());
        match self.gatherer.join(PlainMessage { new, draft }).await? {
            Joined::Settled(PlainMessage { new, .. }, receipt) => Ok(self.appended(new, &receipt, false).await),
            Joined::Alone(PlainMessage { new, draft }, turn) => self.append_alone(new, draft, turn).await,
        }
    }

    /// Runs the statement for one message.
    async fn append_alone(
        &self,
        new: NewMessage,
        mut draft: Draft,
        mut turn: Turn<PlainMessages>,
    ) -> Result<Stored, StoreMessageError> {
        for _ in 0..ATTEMPTS_MAX {
            let answer = self.append_message(&new, &draft).await;
            turn.ended(answer.is_ok());
            match answer {
                Ok(answer) => match answer.outcome.as_str() {
                    "reused" if draft.compare_older() => {}
                    "reused" => return Err(StoreMessageError::KeyReused),
                    "redacted" => {
                        if let Some(message) = self.read(&[new.message_id]).await?.remove(&new.message_id) {
                            return Ok(Stored { message, replayed: true });
                        }
                    }
                    outcome => return Ok(self.appended(new, &answer.receipt(), outcome == "replayed").await),
                },
                // A concurrent duplicate was faster: the next run finds its message.
                Err(error) if error.violates("messages_pkey") => {}
                // A deadlock with another call that shares an id and a user.
                Err(error) if error.has_code("40P01") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreMessageError::Contended)
    }

    /// What follows when a message is stored.
    async fn appended(&self, new: NewMessage, receipt: &Receipt, replayed: bool) -> Stored {
        if new.emotion.as_ref().is_some_and(Emotion::is_counted) {
            self.emotions.count(&new.conversation_id).await;
        }
        self.followed.stored(&new.conversation_id);
        Stored { message: new.stored(receipt), replayed }
    }

    /// Stores a message by the statement for many messages, which also checks the pairing of tool calls and keeps words.
    async fn store_alone(&self, new: NewMessage) -> Result<Stored, StoreMessageError> {
        let conversation_id = new.conversation_id.clone();
        let stored = self.store_many(&conversation_id, vec![new]).await?;
        stored.into_iter().next().ok_or(StoreMessageError::Contended)
    }

    async fn append_message(&self, new: &NewMessage, draft: &Draft) -> Result<Answer, DatabaseError> {
        let emotion = new.emotion.as_ref();
        let user = draft.user.as_ref();
        let append = || {
            sqlx::query_file_as!(
                Answer,
                "src/messages/store.sql",
                new.message_id.0,
                new.conversation_id.as_str(),
                user.map(|user| user.hash.as_slice()),
                new.channel.as_ref(),
                draft.sent_at,
                draft.stored_at,
                new.role.as_ref(),
                draft.content_sealed,
                score(emotion),
                emotion.is_some_and(Emotion::is_counted),
                draft.emotions_sealed.as_deref(),
                draft.metadata_sealed.as_deref(),
                new.input_tokens.map(TokenCount::get),
                new.output_tokens.map(TokenCount::get),
                draft.fingerprint(),
                draft.traceparent.as_deref(),
                draft.stored_at + self.reengagement_after,
                user.map(|user| user.sealed.as_slice()),
            )
        };
        self.database.fetch_one(append).await
    }
}

/// The row of `store.sql`, which explains the outcomes.
struct Answer {
    outcome: String,
    sequence: i64,
    sent_at: DateTime<Utc>,
    stored_at: DateTime<Utc>,
}

impl Answer {
    fn receipt(&self) -> Receipt {
        Receipt { sequence: self.sequence, sent_at: self.sent_at, stored_at: self.stored_at }
    }
}

impl From<ReadError> for StoreMessageError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::Contended,
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

/// The error of a request with one message.
impl From<StoreMessagesError> for StoreMessageError {
    fn from(error: StoreMessagesError) -> Self {
        match error {
            StoreMessagesError::KeysReused(_) => Self::KeyReused,
            StoreMessagesError::ToolCall(refusal) => Self::ToolCall(refusal),
            StoreMessagesError::Contended => Self::Contended,
            StoreMessagesError::Corrupted(error) => Self::Corrupted(error),
            StoreMessagesError::Database(error) => Self::Database(error),
        }
    }
}
