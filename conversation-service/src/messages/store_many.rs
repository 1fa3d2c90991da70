use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    telemetry,
};
use uuid::Uuid;

use super::{
    Messages, NewMessage, Stored, TokenCount,
    draft::{Draft, Receipt, score},
    store::ATTEMPTS_MAX,
};
use crate::{
    domain::{ConversationId, MessageId, Parts},
    emotions::Emotion,
    search::Words,
};

/// The constraints that fail if a concurrent call commits first.
const OVERTAKEN: [&str; 4] = ["messages_pkey", "tool_calls_pkey", "tool_results_pkey", "tool_results_call_fkey"];

/// Why messages were not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreMessagesError {
    #[error("other messages were stored under {} of the ids", .0.len())]
    KeysReused(Vec<MessageId>),
    #[error("a tool call or result cannot be paired")]
    ToolCall(#[from] ToolCallRefusal),
    #[error("an id was taken and freed again in every attempt")]
    Contended,
    #[error("a stored message is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// Why a tool call or a result cannot be stored. The calls are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolCallRefusal {
    #[error("the conversation has a call with this id")]
    Exists(String),
    #[error("the result answers no call of the conversation")]
    NotFound(String),
    #[error("the call has a result")]
    Answered(String),
}

impl Messages {
    /// Appends messages to their conversation in their order, in one round trip: all of them, or none.
    ///
    /// Messages that were stored before, with the same fields, are answered as they are stored. `new` has 1 to 100
    /// messages of this conversation; no two have an id or a tool call in common, and results come after their calls.
    ///
    /// # Errors
    /// [`StoreMessagesError`]. If the database does not answer, the messages may have been stored; a repeated call
    /// returns the results.
    pub async fn store_many(
        &self,
        conversation_id: &ConversationId,
        new: Vec<NewMessage>,
    ) -> Result<Vec<Stored>, StoreMessagesError> {
        let now = self.clock.now();
        let mut drafts: Vec<Draft> = new.iter().map(|new| self.draft(new, now)).collect();
        for _ in 0..ATTEMPTS_MAX {
            let rows = match self.append_messages(conversation_id, &new, &drafts, now).await {
                Err(error) if OVERTAKEN.iter().any(|constraint| error.violates(constraint)) => continue,
                rows => rows?,
            };
            let reused = rows.iter().zip(&mut drafts).filter(|(row, _)| row.outcome == "reused");
            if reused.map(|(_, draft)| draft.compare_older()).filter(|has_older| *has_older).count() > 0 {
                continue;
            }
            refusal(&rows, &new)?;
            let mut redacted = self.read(&ids(&rows, &new, "redacted")).await?;
            if rows.iter().filter(|row| row.outcome == "redacted").count() > redacted.len() {
                // Deleted meanwhile, with its conversation.
                continue;
            }
            if new.iter().any(|new| new.emotion.as_ref().is_some_and(Emotion::is_counted)) {
                self.emotions.count(conversation_id).await;
            }
            self.followed.stored(conversation_id);
            let stored = new.into_iter().zip(rows).map(|(new, row)| match redacted.remove(&new.message_id) {
                Some(message) => Stored { message, replayed: true },
                None => Stored { replayed: row.outcome == "replayed", message: new.stored(&row.receipt()) },
            });
            return Ok(stored.collect());
        }
        Err(StoreMessagesError::Contended)
    }

    async fn append_messages(
        &self,
        conversation_id: &ConversationId,
        new: &[NewMessage],
        drafts: &[Draft],
        now: DateTime<Utc>,
    ) -> Result<Vec<Answer>, DatabaseError> {
        let user = drafts.iter().find_map(|draft| draft.user.as_ref());
        let traceparent = telemetry::current_traceparent();
        let messages: Vec<_> =
            new.iter().zip(drafts).map(|(new, draft)| Row::of(new, draft, self.words.as_ref())).collect();
        let tools: Vec<_> = (1..).zip(new).flat_map(|(position, new)| Tool::of(position, new.parts.as_ref())).collect();
        let contents: Vec<_> = drafts.iter().map(|draft| draft.content_sealed.as_slice()).collect();
        let parts: Vec<_> = drafts.iter().map(|draft| draft.parts_sealed.as_deref()).collect();
        let metadata: Vec<_> = drafts.iter().map(|draft| draft.metadata_sealed.as_deref()).collect();
        let emotions: Vec<_> = drafts.iter().map(|draft| draft.emotions_sealed.as_deref()).collect();
        let fingerprints: Vec<_> = drafts.iter().map(|draft| draft.fingerprint().as_slice()).collect();
        let append = || {
            sqlx::query_file_as!(
                Answer,
                "src/messages/store_many.sql",
                conversation_id.as_str(),
                user.map(|user| user.hash.as_slice()),
                now,
                now + self.reengagement_after,
                traceparent.as_deref(),
                Json(&messages) as _,
                &contents as _,
                &parts as _,
                &metadata as _,
                &fingerprints as _,
                Json(&tools) as _,
                user.map(|user| user.sealed.as_slice()),
                &emotions as _,
            )
        };
        self.database.fetch_all(append).await
    }
}

/// What keeps the messages from being stored.
fn refusal(rows: &[Answer], new: &[NewMessage]) -> Result<(), StoreMessagesError> {
    let reused = ids(rows, new, "reused");
    if !reused.is_empty() {
        return Err(StoreMessagesError::KeysReused(reused));
    }
    let refusal = |row: &Answer| {
        let refusal = match row.outcome.as_str() {
            "exists" => ToolCallRefusal::Exists,
            "unknown" => ToolCallRefusal::NotFound,
            "answered" => ToolCallRefusal::Answered,
            _ => return None,
        };
        Some(refusal(row.call_id.clone().unwrap_or_default()))
    };
    rows.iter().find_map(refusal).map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// The messages with this outcome.
fn ids(rows: &[Answer], new: &[NewMessage], outcome: &str) -> Vec<MessageId> {
    let is_it = |row: &&Answer| row.outcome == outcome;
    let index = |row: &Answer| usize::try_from(row.position).unwrap_or(0).wrapping_sub(1);
    rows.iter().filter(is_it).filter_map(|row| new.get(index(row))).map(|new| new.message_id).collect()
}

/// A row of `store_many.sql`, which explains the outcomes.
struct Answer {
    position: i64,
    outcome: String,
    call_id: Option<String>,
    sequence: Option<i64>,
    sent_at: Option<DateTime<Utc>>,
    stored_at: Option<DateTime<Utc>>,
}

impl Answer {
    /// Of a message that is stored.
    fn receipt(&self) -> Receipt {
        Receipt {
            sequence: self.sequence.unwrap_or_default(),
            sent_at: self.sent_at.unwrap_or_default(),
            stored_at: self.stored_at.unwrap_or_default(),
        }
    }
}

/// What the statement takes of a message, beside its sealed columns.
#[derive(Serialize)]
struct Row<'a> {
    message_id: Uuid,
    role: &'a str,
    channel: &'a str,
    sent_at: DateTime<Utc>,
    score: Option<f64>,
    is_counted: bool,
    input_tokens: Option<i32>,
    output_tokens: Option<i32>,
    words: Option<Vec<i64>>,
}

impl<'a> Row<'a> {
    fn of(new: &'a NewMessage, draft: &Draft, words: Option<&Words>) -> Self {
        let emotion = new.emotion.as_ref();
        Self {
            message_id: new.message_id.0,
            role: new.role.as_ref(),
            channel: new.channel.as_ref(),
            sent_at: draft.sent_at,
            score: score(emotion),
            is_counted: emotion.is_some_and(Emotion::is_counted),
            input_tokens: new.input_tokens.map(TokenCount::get),
            output_tokens: new.output_tokens.map(TokenCount::get),
            words: words.and_then(|words| words.of_message(&new.conversation_id, new.text(), new.parts.as_ref())),
        }
    }
}

/// A tool call or a result, in the message at this position.
#[derive(Serialize)]
struct Tool<'a> {
    position: i64,
    call_id: &'a str,
    is_result: bool,
}

impl<'a> Tool<'a> {
    fn of(position: i64, parts: Option<&'a Parts>) -> impl Iterator<Item = Self> {
        let calls = parts.into_iter().flat_map(Parts::calls).map(|id| (id, false));
        let results = parts.into_iter().flat_map(Parts::results).map(|id| (id, true));
        calls.chain(results).map(move |(id, is_result)| Self { position, call_id: id.as_str(), is_result })
    }
}

/// The error of reading redacted messages.
impl From<ReadError> for StoreMessagesError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::Contended,
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}
