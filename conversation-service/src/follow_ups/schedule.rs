use chrono::{DateTime, Utc};
use teppan_shared::{fingerprint::optional, postgres::DatabaseError, read_error::Corrupted, telemetry};
use uuid::Uuid;

use super::{
    FollowUp, FollowUpId, FollowUps, NewFollowUp,
    answer::FollowUpAnswer,
    metrics::FollowUpChange,
    row::{content_place, metadata_place},
};
use crate::domain::{Channel, Content, MessageId, Metadata, UserId};

/// How often the statement is run for one call. Each run after the first follows a commit of somebody
/// else on the same key or follow-up, so that only one under constant change uses them up.
const ATTEMPTS_MAX: usize = 8;

/// What a call loses on to a faster one: the same conversation, trigger and subject; the same idempotency
/// key; when what was sealed for an existing follow-up met that one's end, the id of that one; and to an earlier
/// run of the same call, the ids.
const LOST_ON: [&str; 4] =
    ["follow_ups_unfinished_key", "idempotency_keys_pkey", "follow_ups_pkey", "outbox_messages_event"];

/// A follow-up, and what was done to it by this call or by the earlier one it repeats.
pub struct Scheduled {
    pub follow_up: FollowUp,
    pub outcome: ScheduleOutcome,
    pub replayed: bool,
}

/// What scheduling came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleOutcome {
    Created,
    Moved,
    /// One was there and was left as it is.
    Existing,
}

/// Why nothing is scheduled. Nothing was written, unless [`DatabaseError`] leaves it open.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleFollowUpError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the follow-up to be moved is being sent")]
    Claimed(FollowUpId),
    #[error("the follow-up of the call that is repeated is gone")]
    Gone,
    #[error("the follow-up changed under every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Makes a follow-up, or moves or finds the one that is not finished for the same conversation,
    /// trigger and subject, in one round trip; moving one with a text or metadata takes two, because they
    /// are sealed for the very follow-up they belong to.
    ///
    /// A second call with the same key and request returns the first one's follow-up, also while the
    /// first is still running.
    ///
    /// # Errors
    /// [`ScheduleFollowUpError`].
    pub async fn schedule(&self, new: &NewFollowUp) -> Result<Scheduled, ScheduleFollowUpError> {
        let fingerprint = self.schedule_fingerprint(new);
        // What is written is as old as the call, whichever of its runs writes it.
        let now = self.clock.now();
        let mut draft = self.draft(new, now, FollowUpId::generate(), MessageId(Uuid::now_v7()));
        for _ in 0..ATTEMPTS_MAX {
            let answer = match self.write_follow_up(new, &fingerprint, &draft).await {
                Ok(answer) => answer,
                // The next run finds what the faster call did.
                Err(error) if LOST_ON.iter().any(|constraint| error.violates(constraint)) => {
                    draft = self.draft(new, now, FollowUpId::generate(), MessageId(Uuid::now_v7()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if answer.is_of_another(&fingerprint) {
                return Err(ScheduleFollowUpError::KeyReused);
            }
            match (answer.answer.as_str(), answer.follow_up_id.map(FollowUpId), answer.message_id.map(MessageId)) {
                ("done", ..) => {
                    self.events.pending.nudge();
                    let created = answer.outcome.as_deref() == Some("CREATED");
                    self.metrics.changed(FollowUpChange::Scheduled, u64::from(created));
                    if draft.due_at <= draft.now {
                        self.due.nudge();
                    }
                    return self.scheduled(answer, false);
                }
                ("replayed", ..) => return self.scheduled(answer, true),
                ("claimed", Some(id), _) => return Err(ScheduleFollowUpError::Claimed(id)),
                ("reseal", Some(id), Some(message_id)) => draft = self.draft(new, now, id, message_id),
                // Contended: a concurrent duplicate may have moved it. Another run finds out.
                _ => {}
            }
        }
        Err(ScheduleFollowUpError::Contended)
    }

    fn scheduled(&self, answer: FollowUpAnswer, replayed: bool) -> Result<Scheduled, ScheduleFollowUpError> {
        let outcome = match answer.outcome.as_deref() {
            Some("CREATED") => ScheduleOutcome::Created,
            Some("MOVED") => ScheduleOutcome::Moved,
            Some("EXISTING") => ScheduleOutcome::Existing,
            _ => return Err(Corrupted::Column("idempotency_keys.outcome").into()),
        };
        let follow_up = answer.open(&self.ring)?.ok_or(ScheduleFollowUpError::Gone)?;
        Ok(Scheduled { follow_up, outcome, replayed })
    }

    /// Everything about the follow-up that is known before the statement runs. The ids are those it gets
    /// when it is made, or those of the follow-up that takes over its text and metadata.
    fn draft(&self, new: &NewFollowUp, now: DateTime<Utc>, id: FollowUpId, message_id: MessageId) -> Draft {
        let content = new.content.as_ref().map(|content| content.as_str().as_bytes());
        let metadata = new.metadata.as_ref().map(Metadata::as_bytes);
        Draft {
            follow_up_id: id,
            content_sealed: content.map(|plain| self.ring.seal(content_place(&message_id), plain)),
            metadata_sealed: metadata.map(|plain| self.ring.seal(metadata_place(&id), plain)),
            due_at: new.due.time(self.scheduling.after_event, &self.scheduling.sending_hours, new.time_zone),
            message_id: message_id.0,
            event_id: Uuid::now_v7(),
            traceparent: telemetry::current_traceparent(),
            now,
        }
    }

    /// The request without its key, as a keyed hash. It holds the time that was asked for, not the one
    /// that it came to: settings may change between a call and its repetition.
    fn schedule_fingerprint(&self, new: &NewFollowUp) -> [u8; 32] {
        let fields = [
            b"ScheduleFollowUp".to_vec(),
            new.key.conversation_id.as_str().into(),
            new.key.trigger.as_column().into(),
            new.key.subject.as_str().into(),
            new.due.to_bytes(),
            new.time_zone.name().into(),
            optional(new.channel.map(Channel::as_column)),
            optional(new.content.as_ref().map(Content::as_str)),
            optional(new.metadata.as_ref().map(Metadata::as_bytes)),
            optional(new.user_id.as_ref().map(UserId::as_str)),
            vec![u8::from(new.move_existing)],
        ];
        self.fingerprint.hash(fields.iter().map(Vec::as_slice))
    }

    async fn write_follow_up(
        &self,
        new: &NewFollowUp,
        fingerprint: &[u8; 32],
        draft: &Draft,
    ) -> Result<FollowUpAnswer, DatabaseError> {
        let write = || {
            sqlx::query_file_as!(
                FollowUpAnswer,
                "src/follow_ups/schedule.sql",
                new.idempotency_key.as_str(),
                fingerprint,
                draft.follow_up_id.0,
                new.key.conversation_id.as_str(),
                new.key.trigger.as_column(),
                new.key.subject.as_str(),
                draft.due_at,
                new.time_zone.name(),
                new.channel.map_or("", Channel::as_column),
                new.user_id.as_ref().map(UserId::as_str),
                draft.content_sealed.as_deref(),
                draft.metadata_sealed.as_deref(),
                self.scheduling.attempts_max,
                draft.message_id,
                draft.traceparent.as_deref(),
                new.move_existing,
                self.events.published,
                draft.event_id,
                draft.now,
            )
        };
        self.database.fetch_one(write).await
    }
}

/// A follow-up before it is written: ids, ciphertexts and times.
struct Draft {
    follow_up_id: FollowUpId,
    content_sealed: Option<Vec<u8>>,
    metadata_sealed: Option<Vec<u8>>,
    due_at: DateTime<Utc>,
    message_id: Uuid,
    event_id: Uuid,
    traceparent: Option<String>,
    now: DateTime<Utc>,
}
