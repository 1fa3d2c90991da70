use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, telemetry};

use super::{
    ClaimToken, FollowUp, FollowUpId, FollowUpStatus, FollowUps, dispatch_row::DispatchRow, metrics::FollowUpChange,
};
use crate::{
    domain::{Channel, Content, MessageId, Role, SentAt},
    messages::{Message, content_place},
};

/// How often the statement is run for one call. A faster concurrent duplicate costs one more run,
/// which sees what it stored; sealing the text again costs one.
const RUNS_MAX: usize = 4;

/// A follow-up that was sent.
#[derive(Debug, Clone)]
pub struct Completion {
    pub follow_up_id: FollowUpId,
    pub token: ClaimToken,
    /// The one of the claim when absent.
    pub message_id: Option<MessageId>,
    pub content: Option<Content>,
    pub channel: Option<Channel>,
    pub sent_at: Option<SentAt>,
}

/// The follow-up, and the message as which it was stored.
pub struct Completed {
    pub follow_up: FollowUp,
    pub message: Message,
    pub replayed: bool,
}

/// Why a follow-up was not completed.
#[derive(Debug, thiserror::Error)]
pub enum CompleteFollowUpError {
    #[error("there is no such follow-up")]
    NotFound,
    #[error("somebody else has claimed it")]
    LeaseLost,
    #[error("it has ended as {0:?}")]
    Finished(FollowUpStatus),
    #[error("neither the call nor the claim names a channel")]
    NoChannel,
    #[error("another message was stored under this id")]
    KeyReused,
    #[error("what is stored cannot be read")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Stores the message of a follow-up and completes it, in one round trip. Only a text that is to
    /// be stored under another id than the claim's, and is not given, takes a second one.
    ///
    /// # Errors
    /// [`CompleteFollowUpError`]. When the database gave no answer, it may have been completed: the
    /// same call tells.
    pub async fn complete(&self, sent: &Completion) -> Result<Completed, CompleteFollowUpError> {
        use CompleteFollowUpError as E;

        let message_id = sent.message_id.unwrap_or(sent.token.message_id);
        let now = self.clock.now();
        let seal = |text: &str| self.ring.seal(content_place(&message_id), text.as_bytes());
        let mut content_sealed = sent.content.as_ref().map(|content| seal(content.as_str()));
        for _ in 0..RUNS_MAX {
            let row = match self.append_follow_up(sent, message_id, content_sealed.as_deref(), now).await {
                // The id of this follow-up's own message would have been found.
                Err(error) if error.violates("messages_pkey") => return Err(E::KeyReused),
                answered => answered?,
            };
            match row.outcome.as_str() {
                "completed" | "replayed" if row.sequence.is_some() => return self.completed(row),
                "replayed" => {}
                "finished" => return Err(E::Finished(row.finished_status()?)),
                "lost" => return Err(E::LeaseLost),
                "no_channel" => return Err(E::NoChannel),
                "resealed" => {
                    let text = row.open(&self.ring)?.content.ok_or(Corrupted::Column("follow_ups.content_sealed"))?;
                    content_sealed = Some(seal(text.as_str()));
                }
                _ => return Err(E::NotFound),
            }
        }
        // Its message is gone, with its conversation.
        Err(E::Finished(FollowUpStatus::Completed))
    }

    async fn append_follow_up(
        &self,
        sent: &Completion,
        message_id: MessageId,
        content_sealed: Option<&[u8]>,
        now: DateTime<Utc>,
    ) -> Result<DispatchRow, DatabaseError> {
        let id = sent.follow_up_id.0;
        let fingerprint = self.dispatch_fingerprint.hash([b"CompleteFollowUp".as_slice(), id.as_bytes()]);
        let traceparent = telemetry::current_traceparent();
        let statement = || {
            sqlx::query_file_as!(
                DispatchRow,
                "src/follow_ups/complete.sql",
                id,
                sent.token.claim,
                message_id.0,
                content_sealed,
                sent.channel.map(Channel::as_column),
                sent.sent_at.map_or(now, SentAt::time),
                now,
                &fingerprint,
                traceparent.as_deref(),
                self.events.published,
                now + self.dispatch.reengagement_after.unwrap_or_default(),
            )
        };
        self.database.fetch_one(statement).await
    }

    fn completed(&self, row: DispatchRow) -> Result<Completed, CompleteFollowUpError> {
        row.link_to_scheduling();
        self.events.pending.nudge();
        let replayed = row.outcome == "replayed";
        self.metrics.changed(FollowUpChange::Completed, u64::from(!replayed));
        let (sequence, sent_at, stored_at) = (row.sequence, row.sent_at, row.stored_at);
        let follow_up = row.open(&self.ring)?;
        let message = || {
            Some(Message {
                message_id: follow_up.message_id,
                conversation_id: follow_up.conversation_id.clone(),
                sequence: sequence?,
                role: Role::Assistant,
                content: follow_up.content.clone()?,
                channel: follow_up.channel?,
                emotion: None,
                metadata: None,
                sent_at: sent_at?,
                stored_at: stored_at?,
                input_tokens: None,
                output_tokens: None,
            })
        };
        let message = message().ok_or(Corrupted::Column("complete_follow_up.message"))?;
        Ok(Completed { follow_up, message, replayed })
    }
}
