use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, sealing::AssociatedData};

use super::{Summaries, Summary, WrittenBy, summary::with_associated_data};
use crate::{
    domain::{Content, ConversationId},
    messages::TokenCount,
};

/// The most runs of the statement for one call. A refusal by a concurrent call, and a deletion of the conversation
/// meanwhile, need one more run.
const ATTEMPTS_MAX: usize = 4;

/// A summary to be set.
#[derive(Debug, Clone)]
pub struct NewSummary {
    pub through_sequence: i64,
    pub text: Content,
    pub written_by: WrittenBy,
    pub token_count: Option<TokenCount>,
}

/// Why a summary was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetSummaryError {
    #[error("the conversation does not exist")]
    NotFound,
    #[error("the present summary covers more, up to {present}")]
    Outdated { present: i64 },
    #[error("there are only {message_count} messages")]
    Ahead { message_count: i64 },
    #[error("another summary was set in every attempt")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Summaries {
    /// Sets the summary of a conversation, in one round trip, unless the present one covers more messages. Of two
    /// concurrent calls the one that covers more wins, whichever comes first.
    ///
    /// # Errors
    /// [`SetSummaryError`]. If the database does not answer, the summary may have been set; repeat the call.
    pub async fn set(&self, conversation_id: &ConversationId, new: NewSummary) -> Result<Summary, SetSummaryError> {
        let seal = |data: AssociatedData<'_>| self.ring.seal(data, new.text.as_str().as_bytes());
        let text_sealed = with_associated_data(conversation_id, new.through_sequence, seal);
        for _ in 0..ATTEMPTS_MAX {
            let now = self.clock.now();
            let answer = self.set_once(conversation_id, &new, &text_sealed, now).await?;
            let Answer { message_count, is_written, present } = answer.ok_or(SetSummaryError::NotFound)?;
            if is_written {
                let NewSummary { through_sequence, text, written_by, token_count } = new;
                return Ok(Summary { through_sequence, text, written_by, token_count, updated_at: now });
            }
            if message_count < new.through_sequence {
                return Err(SetSummaryError::Ahead { message_count });
            }
            if let Some(present) = present.filter(|present| *present > new.through_sequence) {
                return Err(SetSummaryError::Outdated { present });
            }
        }
        Err(SetSummaryError::Contended)
    }

    async fn set_once(
        &self,
        conversation_id: &ConversationId,
        new: &NewSummary,
        text_sealed: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<Answer>, DatabaseError> {
        let set = || {
            sqlx::query_file_as!(
                Answer,
                "src/summaries/set.sql",
                conversation_id.as_str(),
                new.through_sequence,
                text_sealed,
                new.written_by.as_str(),
                new.token_count.map(TokenCount::get),
                now,
            )
        };
        self.database.fetch_optional(set).await
    }
}

/// The row of `set.sql`.
struct Answer {
    message_count: i64,
    is_written: bool,
    present: Option<i64>,
}
