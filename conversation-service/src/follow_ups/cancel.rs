use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{
    FollowUp, FollowUpId, FollowUpKey, FollowUpStatus, FollowUps, answer::FollowUpAnswer, metrics::FollowUpChange,
};
use crate::domain::IdempotencyKey;

/// How often the statement is run for one call. What is finished stays finished, so that only one after
/// the other being scheduled and finished under the same key uses them up.
const ATTEMPTS_MAX: usize = 4;

/// Which follow-up is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCancel {
    ById(FollowUpId),
    /// The one that is not finished.
    ByKey(FollowUpKey),
}

/// What cancelling came to.
pub struct Cancelled {
    /// `None` when there was none for the key.
    pub follow_up: Option<FollowUp>,
    /// Whether this call, or the one it repeats, cancelled it.
    pub cancelled: bool,
}

/// Why nothing is cancelled. Nothing was written, unless [`DatabaseError`] leaves it open.
#[derive(Debug, thiserror::Error)]
pub enum CancelFollowUpError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("there is no such follow-up")]
    NotFound(FollowUpId),
    #[error("the follow-up is finished otherwise")]
    Finished(FollowUpId, FollowUpStatus),
    #[error("the follow-up changed under every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Cancels a follow-up that is not finished, in one round trip.
    ///
    /// With an idempotency key a second call comes to what the first came to, whatever was scheduled in
    /// between. Without one a call about a cancelled follow-up counts as the repetition of the one that
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
                // A concurrent duplicate was faster; the next run finds what it did.
                Err(error) if error.violates("idempotency_keys_pkey") => continue,
                Err(error) => return Err(error.into()),
            };
            if answer.is_of_another(&fingerprint) {
                return Err(CancelFollowUpError::KeyReused);
            }
            match (answer.answer.as_str(), which) {
                ("done" | "replayed", _) => {
                    let cancels = answer.answer == "done" && answer.outcome.as_deref() == Some("CANCELLED");
                    self.metrics.changed(FollowUpChange::Cancelled, u64::from(cancels));
                    return self.cancelled(answer, key.is_some());
                }
                ("finished", _) => return Err(finished(&answer)),
                ("not_found", ToCancel::ById(id)) => return Err(CancelFollowUpError::NotFound(*id)),
                // Contended: a concurrent duplicate may have cancelled it. Another run finds out.
                _ => {}
            }
        }
        Err(CancelFollowUpError::Contended)
    }

    fn cancelled(&self, answer: FollowUpAnswer, keyed: bool) -> Result<Cancelled, CancelFollowUpError> {
        let cancelled = match answer.outcome.as_deref() {
            Some("CANCELLED") => true,
            Some("UNCHANGED") => !keyed,
            _ => false,
        };
        Ok(Cancelled { follow_up: answer.open(&self.ring)?, cancelled })
    }

    /// The request without its key, as a keyed hash.
    fn cancel_fingerprint(&self, which: &ToCancel) -> [u8; 32] {
        let fields = match which {
            ToCancel::ById(id) => vec![id.0.as_bytes().as_slice()],
            ToCancel::ByKey(key) => {
                vec![
                    key.conversation_id.as_str().as_bytes(),
                    key.trigger.as_column().as_bytes(),
                    key.subject.as_str().as_bytes(),
                ]
            }
        };
        self.fingerprint.hash([b"CancelFollowUp".as_slice()].into_iter().chain(fields))
    }

    async fn write_cancel(
        &self,
        idempotency_key: Option<&IdempotencyKey>,
        fingerprint: &[u8; 32],
        which: &ToCancel,
        now: DateTime<Utc>,
    ) -> Result<FollowUpAnswer, DatabaseError> {
        let (id, key) = match which {
            ToCancel::ById(id) => (Some(id.0), None),
            ToCancel::ByKey(key) => (None, Some(key)),
        };
        let write = || {
            sqlx::query_file_as!(
                FollowUpAnswer,
                "src/follow_ups/cancel.sql",
                idempotency_key.map(IdempotencyKey::as_str),
                fingerprint,
                id,
                key.map(|key| key.conversation_id.as_str()),
                key.map(|key| key.trigger.as_column()),
                key.map(|key| key.subject.as_str()),
                now,
            )
        };
        self.database.fetch_one(write).await
    }
}

/// How the follow-up in the answer ended.
fn finished(answer: &FollowUpAnswer) -> CancelFollowUpError {
    let status = answer.status.as_deref().and_then(FollowUpStatus::from_column);
    match (answer.follow_up_id, status) {
        (Some(id), Some(status)) => CancelFollowUpError::Finished(FollowUpId(id), status),
        _ => Corrupted::Column("follow_ups.status").into(),
    }
}
