use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, sealing::Hashes};

use super::{
    FollowUp, FollowUpId, FollowUpKey, FollowUpStatus, FollowUps, answer::FollowUpAnswer, metrics::FollowUpChange,
};
use crate::domain::IdempotencyKey;

/// The most runs of the statement for one call. A finished follow-up stays finished, so only a series of follow-ups
/// that are scheduled and finished with the same conversation, trigger and subject exhausts them.
const ATTEMPTS_MAX: usize = 4;

type Answer = FollowUpAnswer<String>;

/// The follow-up to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCancel {
    ById(FollowUpId),
    /// The unfinished one with this key.
    ByKey(FollowUpKey),
}

/// The result of cancelling.
pub struct Cancelled {
    /// `None` when there is none with this key.
    pub follow_up: Option<FollowUp>,
    /// Whether this call, or the one it repeats, cancelled it.
    pub cancelled: bool,
}

/// Why nothing was cancelled. Nothing was written; only after a [`DatabaseError`] that may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum CancelFollowUpError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("there is no such follow-up")]
    NotFound(FollowUpId),
    #[error("the follow-up has ended as {1:?}")]
    Finished(FollowUpId, FollowUpStatus),
    #[error("the follow-up changed during every attempt")]
    Contended,
    #[error("the stored follow-up is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Cancels a follow-up that is not finished, in one round trip; one after an event with the reminders of its
    /// subject.
    ///
    /// With an idempotency key, a repeated call returns the result of the first one, even if another follow-up was
    /// scheduled in between. Without a key, a call for a cancelled follow-up counts as a repetition of the call that
    /// cancelled it.
    ///
    /// # Errors
    /// [`CancelFollowUpError`].
    pub async fn cancel(
        &self,
        key: Option<&IdempotencyKey>,
        which: &ToCancel,
    ) -> Result<Cancelled, CancelFollowUpError> {
        let fingerprint = self.cancel_fingerprint(which);
        let now = self.clock.now();
        for _ in 0..ATTEMPTS_MAX {
            let answer = match self.write_cancel(key, &fingerprint, which, now).await {
                Ok(answer) => answer,
                // A concurrent duplicate was faster: the next run finds its result.
                Err(error) if error.violates("idempotency_keys_pkey") => continue,
                Err(error) => return Err(error.into()),
            };
            if answer.key_was_reused(&fingerprint) {
                return Err(CancelFollowUpError::KeyReused);
            }

            match (answer.answer.as_str(), which) {
                ("done" | "replayed", _) => {
                    let cancels = answer.answer == "done" && answer.outcome.as_deref() == Some("CANCELLED");
                    self.metrics.changed(FollowUpChange::Cancelled, u64::from(cancels) + answer.reminders());
                    return self.cancelled(answer, key.is_some());
                }
                ("finished", _) => {
                    let found = answer.follow_up.ok_or(Corrupted::Column("follow_ups"))?;
                    return Err(CancelFollowUpError::Finished(found.follow_up_id, found.status));
                }
                ("not_found", ToCancel::ById(id)) => return Err(CancelFollowUpError::NotFound(*id)),
                // Contended: a concurrent duplicate may have cancelled it. The next run sees the result.
                _ => {}
            }
        }
        Err(CancelFollowUpError::Contended)
    }

    fn cancelled(&self, answer: Answer, keyed: bool) -> Result<Cancelled, CancelFollowUpError> {
        let cancelled = match answer.outcome.as_deref() {
            Some("CANCELLED") => true,
            Some("UNCHANGED") => !keyed,
            _ => false,
        };
        let follow_up = answer.follow_up.map(|row| row.open(&self.ring)).transpose()?;
        Ok(Cancelled { follow_up, cancelled })
    }

    /// The request without its key, as a keyed hash.
    fn cancel_fingerprint(&self, which: &ToCancel) -> Hashes {
        let fields = match which {
            ToCancel::ById(id) => vec![id.0.as_bytes().as_slice()],
            ToCancel::ByKey(key) => {
                vec![
                    key.conversation_id.as_str().as_bytes(),
                    key.trigger.as_ref().as_bytes(),
                    key.subject.as_str().as_bytes(),
                ]
            }
        };
        self.fingerprint.hash([b"CancelFollowUp".as_slice()].into_iter().chain(fields))
    }

    async fn write_cancel(
        &self,
        idempotency_key: Option<&IdempotencyKey>,
        fingerprint: &Hashes,
        which: &ToCancel,
        now: DateTime<Utc>,
    ) -> Result<Answer, DatabaseError> {
        let (id, key) = match which {
            ToCancel::ById(id) => (Some(id.0), None),
            ToCancel::ByKey(key) => (None, Some(key)),
        };
        let write = || {
            sqlx::query_file_as!(
                Answer,
                "src/follow_ups/cancel.sql",
                idempotency_key.map(IdempotencyKey::as_str),
                fingerprint.newest(),
                id,
                key.map(|key| key.conversation_id.as_str()),
                key.map(|key| key.trigger.as_ref()),
                key.map(|key| key.subject.as_str()),
                now,
            )
        };
        self.database.fetch_one(write).await
    }
}
