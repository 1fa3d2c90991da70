use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, telemetry};

use super::{
    ClaimToken, FollowUp, FollowUpId, FollowUpRow, FollowUpStatus, FollowUps, follow_up::seal_text,
    metrics::FollowUpChange,
};
use crate::{
    domain::{Channel, Content, MessageId, SentAt},
    messages::{Message, MessageRow},
};

/// The most runs of the statement for one call. A faster concurrent duplicate costs one more run, which finds its
/// result. Sealing the text again costs one more run, too.
const RUNS_MAX: usize = 4;

/// A follow-up that was sent.
#[derive(Debug, Clone)]
pub struct Completion {
    pub follow_up_id: FollowUpId,
    pub token: ClaimToken,
    /// The default is the id in the claim.
    pub message_id: Option<MessageId>,
    pub content: Option<Content>,
    pub channel: Option<Channel>,
    pub sent_at: Option<SentAt>,
}

/// The follow-up, and its message.
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
    #[error("another call has claimed it")]
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
    /// Stores the message of a follow-up and completes it, in one round trip. If the message gets another id than the
    /// follow-up has, the stored text is sealed again, which takes a second round trip.
    ///
    /// # Errors
    /// [`CompleteFollowUpError`]. If the database does not answer, the follow-up may have been completed; a repeated
    /// call returns the result.
    pub async fn complete(&self, sent: &Completion) -> Result<Completed, CompleteFollowUpError> {
        use CompleteFollowUpError as E;

        let message_id = sent.message_id.unwrap_or(sent.token.message_id);
        let now = self.clock.now();
        let seal = |text: &str| seal_text(&self.ring, message_id, &sent.token.conversation_id, text);
        let mut content_sealed = sent.content.as_ref().map(|content| seal(content.as_str()));
        for _ in 0..RUNS_MAX {
            let answer = match self.append_follow_up(sent, message_id, content_sealed.as_deref(), now).await {
                // This is not the follow-up's own message: the statement would have found that.
                Err(error) if error.violates("messages_pkey") => return Err(E::KeyReused),
                answered => answered?,
            };
            let row = answer.follow_up.ok_or(E::NotFound)?;
            match (answer.outcome.as_str(), answer.message) {
                ("completed" | "replayed", Some(message)) => {
                    return self.completed(row, message, answer.outcome == "replayed");
                }
                ("finished", _) => return Err(E::Finished(row.status)),
                ("lost", _) => return Err(E::LeaseLost),
                ("no_channel", _) => return Err(E::NoChannel),
                ("resealed", _) => {
                    let text = row.open(&self.ring)?.content.ok_or(Corrupted::Column("follow_ups.content_sealed"))?;
                    content_sealed = Some(seal(text.as_str()));
                }
                // The message is not in the snapshot yet. The next run sees it.
                _ => {}
            }
        }
        // Its message was deleted with its conversation.
        Err(E::Finished(FollowUpStatus::Completed))
    }

    async fn append_follow_up(
        &self,
        sent: &Completion,
        message_id: MessageId,
        content_sealed: Option<&[u8]>,
        now: DateTime<Utc>,
    ) -> Result<Answer, DatabaseError> {
        let id = sent.follow_up_id.0;
        let fingerprint = self.dispatch_fingerprint.hash([b"CompleteFollowUp".as_slice(), id.as_bytes()]);
        let traceparent = telemetry::current_traceparent();
        let statement = || {
            sqlx::query_file_as!(
                Answer,
                "src/follow_ups/complete.sql",
                id,
                sent.token.claim,
                message_id.0,
                content_sealed,
                sent.channel.as_ref().map(AsRef::as_ref),
                sent.sent_at.map_or(now, SentAt::time),
                now,
                fingerprint.newest(),
                traceparent.as_deref(),
                self.events.published,
                now + self.dispatch.reengagement_after.unwrap_or_default(),
                sent.token.conversation_id.as_str(),
            )
        };
        self.database.fetch_one(statement).await
    }

    fn completed(
        &self,
        follow_up: FollowUpRow,
        message: MessageRow,
        replayed: bool,
    ) -> Result<Completed, CompleteFollowUpError> {
        follow_up.link_to_scheduling();
        self.events.pending.nudge();
        self.metrics.changed(FollowUpChange::Completed, u64::from(!replayed));
        Ok(Completed { follow_up: follow_up.open(&self.ring)?, message: message.open(&self.ring)?, replayed })
    }
}

/// The row of `complete.sql`, which explains the outcomes.
struct Answer {
    outcome: String,
    follow_up: Option<FollowUpRow>,
    message: Option<MessageRow>,
}
