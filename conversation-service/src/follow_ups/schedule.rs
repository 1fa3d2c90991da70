use chrono::{DateTime, Utc};
use teppan_shared::{
    fingerprint::optional, postgres::DatabaseError, read_error::Corrupted, sealing::Hashes, telemetry,
};
use uuid::Uuid;

use super::{
    FollowUp, FollowUpId, FollowUps, NewFollowUp,
    answer::FollowUpAnswer,
    follow_up::{seal_metadata, seal_text},
    metrics::FollowUpChange,
};
use crate::{
    domain::{Channel, Content, MessageId, Metadata, UserId},
    users::SealedUser,
};

/// The most runs of the statement for one call. Each further run follows another call's commit on the same key or
/// follow-up, so only constant changes exhaust them.
const ATTEMPTS_MAX: usize = 8;

/// The constraints that a call violates when another call was faster. In their order: the same conversation, trigger
/// and subject; the same idempotency key; the id of an existing follow-up that ended after text was sealed for it; and,
/// after a lost answer, the ids of an earlier run of this call.
const LOST_RACE_CONSTRAINTS: [&str; 4] =
    ["follow_ups_unfinished_key", "idempotency_keys_pkey", "follow_ups_pkey", "outbox_messages_event"];

/// A follow-up, and the outcome of this call or of the call that it repeats.
pub struct Scheduled {
    pub follow_up: FollowUp,
    pub outcome: ScheduleOutcome,
    pub replayed: bool,
}

/// The result of scheduling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScheduleOutcome {
    Created,
    Moved,
    /// An existing one was not changed.
    Existing,
}

type Answer = FollowUpAnswer<ScheduleOutcome>;

/// Why nothing was scheduled. Nothing was written; only after a [`DatabaseError`] that may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleFollowUpError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the follow-up to be moved is being sent")]
    Claimed(FollowUpId),
    #[error("the follow-up of the repeated call was deleted")]
    Gone,
    #[error("the follow-up changed during every attempt")]
    Contended,
    #[error("the stored follow-up is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Creates a follow-up, or moves or finds the unfinished one of the same conversation, trigger and subject, in one
    /// round trip. Moving one with a text or metadata takes two round trips, because they are sealed with the
    /// follow-up's id.
    ///
    /// A repeated call with the same key and request returns the follow-up of the first call, even while the first call
    /// is still running.
    ///
    /// # Errors
    /// [`ScheduleFollowUpError`].
    pub async fn schedule(&self, new: &NewFollowUp) -> Result<Scheduled, ScheduleFollowUpError> {
        let fingerprint = self.schedule_fingerprint(new);
        // The same time for every run, so that a run recognises the rows of an earlier run.
        let now = self.clock.now();
        let mut draft = self.draft(new, now, FollowUpId::generate(), MessageId::generate());
        for _ in 0..ATTEMPTS_MAX {
            let answer = match self.write_follow_up(new, &fingerprint, &draft).await {
                Ok(answer) => answer,
                // The next run finds the result of the faster call.
                Err(error) if LOST_RACE_CONSTRAINTS.iter().any(|constraint| error.violates(constraint)) => {
                    draft = self.draft(new, now, FollowUpId::generate(), MessageId::generate());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if answer.key_was_reused(&fingerprint) {
                return Err(ScheduleFollowUpError::KeyReused);
            }
            match (answer.answer.as_str(), &answer.follow_up) {
                ("done", _) => {
                    self.events.pending.nudge();
                    let created = answer.outcome == Some(ScheduleOutcome::Created);
                    self.metrics.changed(FollowUpChange::Scheduled, u64::from(created) + answer.reminders());
                    if draft.due_at <= draft.now {
                        self.due.nudge();
                    }
                    return self.scheduled(answer, false);
                }
                ("replayed", _) => return self.scheduled(answer, true),
                ("claimed", Some(found)) => return Err(ScheduleFollowUpError::Claimed(found.follow_up_id)),
                ("reseal", Some(found)) => draft = self.draft(new, now, found.follow_up_id, found.message_id),
                // Contended: a concurrent duplicate may have moved it. The next run sees the result.
                _ => {}
            }
        }
        Err(ScheduleFollowUpError::Contended)
    }

    fn scheduled(&self, answer: Answer, replayed: bool) -> Result<Scheduled, ScheduleFollowUpError> {
        let outcome = answer.outcome.ok_or(Corrupted::Column("idempotency_keys.outcome"))?;
        let follow_up = answer.follow_up.ok_or(ScheduleFollowUpError::Gone)?.open(&self.ring)?;
        Ok(Scheduled { follow_up, outcome, replayed })
    }

    /// Everything about the follow-up that is known before the statement runs. The ids are new, or those of the
    /// follow-up to be moved.
    fn draft(&self, new: &NewFollowUp, now: DateTime<Utc>, id: FollowUpId, message_id: MessageId) -> Draft {
        let conversation_id = &new.key.conversation_id;
        let content = new.content.as_ref().map(Content::as_str);
        let metadata = new.metadata.as_ref().map(Metadata::as_bytes);
        Draft {
            follow_up_id: id,
            content_sealed: content.map(|text| seal_text(&self.ring, message_id, conversation_id, text)),
            metadata_sealed: metadata.map(|plain| seal_metadata(&self.ring, id, conversation_id, plain)),
            user: new.user_id.as_ref().map(|user| self.users.seal(user, conversation_id)),
            due_at: new.due.time(self.scheduling.after_event, &self.scheduling.sending_hours, new.time_zone),
            message_id: message_id.0,
            event_id: Uuid::now_v7(),
            reminders: self.draft_reminders(new, now),
            traceparent: telemetry::current_traceparent(),
            now,
        }
    }

    /// Their ids are new; those of existing reminders stay.
    fn draft_reminders(&self, new: &NewFollowUp, now: DateTime<Utc>) -> DraftReminders {
        let mut draft = DraftReminders::default();
        let Some(reminders) = &new.reminders else { return draft };
        draft.revision = Some(reminders.revision.get());
        draft.expires_at = Some(reminders.event_starts_at);
        for reminder in reminders.list(now, &self.scheduling.sending_hours, new.time_zone) {
            draft.minutes_before.push(reminder.minutes_before);
            draft.due_at.push(reminder.due_at);
            draft.are_late.push(reminder.is_late);
            draft.ids.push(FollowUpId::generate().0);
            draft.message_ids.push(MessageId::generate().0);
        }
        draft
    }

    /// The request without its key, as a keyed hash. Without reminders: they are a target state with a revision of its
    /// own, and a version that does not know them may have answered the call before. It contains the requested time
    /// and not the time within sending hours, because settings may change between a call and its repetition.
    fn schedule_fingerprint(&self, new: &NewFollowUp) -> Hashes {
        let fields = [
            b"ScheduleFollowUp".to_vec(),
            new.key.conversation_id.as_str().into(),
            new.key.trigger.as_ref().into(),
            new.key.subject.as_str().into(),
            new.due.to_bytes(),
            new.time_zone.name().into(),
            optional(new.channel.as_ref().map(<Channel as AsRef<str>>::as_ref)),
            optional(new.content.as_ref().map(Content::as_str)),
            optional(new.metadata.as_ref().map(Metadata::as_bytes)),
            optional(new.user_id.as_ref().map(UserId::as_str)),
            vec![u8::from(new.move_existing)],
            optional(new.customer_id.map(|id| id.0.into_bytes())),
            new.purpose.as_ref().into(),
        ];
        self.fingerprint.hash(fields.iter().map(Vec::as_slice))
    }

    async fn write_follow_up(
        &self,
        new: &NewFollowUp,
        fingerprint: &Hashes,
        draft: &Draft,
    ) -> Result<Answer, DatabaseError> {
        let write = || {
            sqlx::query_file_as!(
                Answer,
                "src/follow_ups/schedule.sql",
                new.idempotency_key.as_str(),
                fingerprint.newest(),
                draft.follow_up_id.0,
                new.key.conversation_id.as_str(),
                new.key.trigger.as_ref(),
                new.key.subject.as_str(),
                draft.due_at,
                new.time_zone.name(),
                new.channel.as_ref().map_or("", AsRef::as_ref),
                draft.user.as_ref().map(|user| user.hash.as_slice()),
                draft.content_sealed.as_deref(),
                draft.metadata_sealed.as_deref(),
                self.scheduling.attempts_max,
                draft.message_id,
                draft.traceparent.as_deref(),
                new.move_existing,
                self.events.published,
                draft.event_id,
                draft.now,
                draft.user.as_ref().map(|user| user.sealed.as_slice()),
                new.customer_id.map(|id| id.0),
                new.purpose.as_ref(),
                draft.reminders.revision,
                &draft.reminders.minutes_before,
                &draft.reminders.due_at,
                &draft.reminders.are_late,
                &draft.reminders.ids,
                &draft.reminders.message_ids,
                draft.reminders.expires_at,
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
    user: Option<SealedUser>,
    due_at: DateTime<Utc>,
    message_id: Uuid,
    event_id: Uuid,
    reminders: DraftReminders,
    traceparent: Option<String>,
    now: DateTime<Utc>,
}

/// The reminders of the request, as columns. Without a revision the request has none.
#[derive(Default)]
struct DraftReminders {
    revision: Option<i64>,
    expires_at: Option<DateTime<Utc>>,
    minutes_before: Vec<i32>,
    due_at: Vec<DateTime<Utc>>,
    are_late: Vec<bool>,
    ids: Vec<Uuid>,
    message_ids: Vec<Uuid>,
}
