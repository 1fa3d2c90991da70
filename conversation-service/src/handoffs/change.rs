use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    telemetry,
};

use super::{
    Action, Assignee, EscalationReason, HandoffRow, Handoffs, HeldConversation,
    decide::{Change, Target, decide},
};
use crate::{
    conversations::{Conversation, ConversationRow, ConversationStatus},
    domain::ConversationId,
};

/// The most attempts of one call. Each time, another call was faster.
const ATTEMPTS_MAX: usize = 8;

/// Why a conversation was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeHolderError {
    #[error("the conversation does not exist")]
    NotFound,
    #[error("the conversation has changed since the etag was read")]
    EtagMismatch,
    #[error("the conversation was changed by others in every attempt")]
    Contended,
    #[error("the stored conversation is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl From<ReadError> for ChangeHolderError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

impl Handoffs {
    /// Closes a conversation, hands it over to a person or back, and lets the follow-ups go that waited for that. `by`
    /// is the name of the caller's credential.
    ///
    /// A state that is reached already is returned as it is, whatever the etag: a repeated call succeeds.
    ///
    /// # Errors
    /// [`ChangeHolderError`]. If the database does not answer, the change may have been written; repeat the call.
    pub async fn change(
        &self,
        conversation_id: &ConversationId,
        action: &Action,
        etag: Option<&str>,
        by: &str,
    ) -> Result<HeldConversation, ChangeHolderError> {
        for _ in 0..ATTEMPTS_MAX {
            let present = self.load(conversation_id).await?;
            let now = self.clock.now();
            let Some(target) = decide(&present, action.clone(), now) else { return Ok(present) };
            if etag.is_some_and(|etag| etag != present.etag()) {
                return Err(ChangeHolderError::EtagMismatch);
            }
            match self.commit(&present, &target, by, now).await {
                Ok(Some(changed)) => return Ok(changed),
                Ok(None) => {}
                Err(ChangeHolderError::Database(error)) if error.violates("conversation_handoffs_pkey") => {}
                Err(error) => return Err(error),
            }
        }
        Err(ChangeHolderError::Contended)
    }

    async fn load(&self, conversation_id: &ConversationId) -> Result<HeldConversation, ReadError> {
        let load = || sqlx::query_file!("src/handoffs/load.sql", conversation_id.as_str());
        let row = self.database.fetch_optional(load).await?.ok_or(ReadError::NotFound)?;
        Ok(HeldConversation::new(row.conversation.open(&self.users)?, row.handoff))
    }

    /// `None` when the conversation has changed since it was loaded.
    async fn commit(
        &self,
        present: &HeldConversation,
        target: &Target,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<HeldConversation>, ChangeHolderError> {
        let (conversation, handoff) = (&present.conversation, target.handoff.as_ref());
        let releases = conversation.status == ConversationStatus::Escalated && handoff.is_none();
        let event = self.events.published.then(|| event(conversation, target, by, now));
        let (kind, data) = event.unzip();
        let traceparent = telemetry::current_traceparent();
        let commit = || {
            sqlx::query_file!(
                "src/handoffs/commit.sql",
                conversation.conversation_id.as_str(),
                now,
                conversation.created_at,
                conversation.status.as_ref(),
                present.version,
                target.status.as_ref(),
                handoff.map(|handoff| handoff.escalated_at),
                handoff.map(|handoff| handoff.reason.as_ref()),
                handoff.and_then(|handoff| handoff.assignee.as_ref()).map(Assignee::as_str),
                handoff.map(|handoff| handoff.held_since),
                kind,
                data,
                traceparent.as_deref(),
                releases,
            )
        };
        let Some(row) = self.database.fetch_optional(commit).await? else { return Ok(None) };
        self.events.pending.nudge();
        if releases {
            self.follow_ups.released();
        }
        Ok(Some(HeldConversation::new(row.conversation.open(&self.users)?, row.handoff)))
    }
}

/// The type and the data of the event: a message of `teppan.events.v1` as JSON.
fn event(conversation: &Conversation, target: &Target, by: &str, now: DateTime<Utc>) -> (&'static str, Value) {
    let handoff = target.handoff.as_ref();
    let assignee = handoff.and_then(|handoff| handoff.assignee.as_ref()).map_or("", Assignee::as_str);
    let mut data = json!({ "conversation_id": conversation.conversation_id.as_str(), "occurred_at": now });
    let (kind, fields) = match target.change {
        Change::Closed => ("teppan.conversation.closed.v1", json!({ "closed_by": by })),
        Change::Escalated => {
            let reason = handoff.map_or(EscalationReason::Other, |handoff| handoff.reason);
            let reason = format!("ESCALATION_REASON_{}", reason.as_ref());
            ("teppan.conversation.escalated.v1", json!({ "reason": reason, "assignee": assignee, "escalated_by": by }))
        }
        Change::Assigned => {
            let holder = match (handoff, assignee) {
                (None, _) => "CONVERSATION_HOLDER_ASSISTANT",
                (Some(_), "") => "CONVERSATION_HOLDER_QUEUE",
                (Some(_), _) => "CONVERSATION_HOLDER_PERSON",
            };
            ("teppan.conversation.assigned.v1", json!({ "holder": holder, "assignee": assignee, "assigned_by": by }))
        }
    };
    if let (Value::Object(data), Value::Object(fields)) = (&mut data, fields) {
        data.extend(fields);
    }
    (kind, data)
}
