use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{
    ClaimToken, FailureReason, FollowUp, FollowUpId, FollowUpRow, FollowUpStatus, FollowUps, RetrySeconds,
    metrics::FollowUpChange,
};

/// A follow-up that could not be sent.
#[derive(Debug, Clone)]
pub struct Failure {
    pub follow_up_id: FollowUpId,
    pub token: ClaimToken,
    pub reason: FailureReason,
    /// Whether there are no further attempts.
    pub permanent: bool,
    /// The default is the service's own backoff.
    pub retry_after: Option<RetrySeconds>,
}

/// Why a failure was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum FailFollowUpError {
    #[error("there is no such follow-up")]
    NotFound,
    #[error("another call has claimed it")]
    LeaseLost,
    #[error("it has ended as {0:?}")]
    Finished(FollowUpStatus),
    #[error("what is stored cannot be read")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Returns a follow-up to the queue, or ends it after its last attempt, in one round trip.
    ///
    /// # Errors
    /// [`FailFollowUpError`]. If the database does not answer, the failure may have been recorded; a repeated call
    /// changes nothing more.
    pub async fn fail(&self, failure: &Failure) -> Result<FollowUp, FailFollowUpError> {
        let now = self.clock.now();
        let backoff = self.dispatch.backoff;
        let statement = || {
            sqlx::query_file_as!(
                Answer,
                "src/follow_ups/fail.sql",
                failure.follow_up_id.0,
                failure.token.claim,
                now,
                failure.reason.as_ref(),
                failure.permanent,
                failure.retry_after.map(|pause| f64::from(pause.get())),
                backoff.first.as_secs_f64(),
                backoff.max.as_secs_f64(),
                self.events.published,
            )
        };
        let answer = self.database.fetch_one(statement).await?;
        let row = answer.follow_up.ok_or(FailFollowUpError::NotFound)?;
        match answer.outcome.as_str() {
            "failed" => {
                let ends = row.status == FollowUpStatus::Failed;
                self.metrics.changed(if ends { FollowUpChange::Failed } else { FollowUpChange::PutBack }, 1);
            }
            "unchanged" => {}
            "finished" => return Err(FailFollowUpError::Finished(row.status)),
            _ => return Err(FailFollowUpError::LeaseLost),
        }
        self.events.pending.nudge();
        row.link_to_scheduling();
        Ok(row.open(&self.ring)?)
    }
}

/// The row of `fail.sql`, which explains the outcomes.
struct Answer {
    outcome: String,
    follow_up: Option<FollowUpRow>,
}
