use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{
    ClaimToken, FailureReason, FollowUp, FollowUpId, FollowUpStatus, FollowUps, RetryPause, dispatch_row::DispatchRow,
    metrics::FollowUpChange,
};

/// A follow-up that could not be sent.
#[derive(Debug, Clone)]
pub struct Failure {
    pub follow_up_id: FollowUpId,
    pub token: ClaimToken,
    pub reason: FailureReason,
    /// No further attempt.
    pub permanent: bool,
    /// The service's own backoff when absent.
    pub retry_after: Option<RetryPause>,
}

/// Why a failure was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum FailFollowUpError {
    #[error("there is no such follow-up")]
    NotFound,
    #[error("somebody else has claimed it")]
    LeaseLost,
    #[error("it has ended as {0:?}")]
    Finished(FollowUpStatus),
    #[error("what is stored cannot be read")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Puts a follow-up back into the queue, or ends it after its last attempt, in one round trip.
    ///
    /// # Errors
    /// [`FailFollowUpError`]. When the database gave no answer, it may have been recorded: the same
    /// call changes nothing more.
    pub async fn fail(&self, failure: &Failure) -> Result<FollowUp, FailFollowUpError> {
        let now = self.clock.now();
        let backoff = self.dispatch.backoff;
        let statement = || {
            sqlx::query_file_as!(
                DispatchRow,
                "src/follow_ups/fail.sql",
                failure.follow_up_id.0,
                failure.token.claim,
                now,
                failure.reason.as_str(),
                failure.permanent,
                failure.retry_after.map(|pause| f64::from(pause.seconds())),
                backoff.first.as_secs_f64(),
                backoff.max.as_secs_f64(),
                self.events.published,
            )
        };
        let row = self.database.fetch_one(statement).await?;
        match row.outcome.as_str() {
            "failed" | "unchanged" => {
                if row.outcome == "failed" {
                    let ends = row.status.as_deref() == Some(FollowUpStatus::Failed.as_column());
                    let change = if ends { FollowUpChange::Failed } else { FollowUpChange::PutBack };
                    self.metrics.changed(change, 1);
                }
                row.link_to_scheduling();
                self.events.pending.nudge();
                Ok(row.open(&self.ring)?)
            }
            "finished" => Err(FailFollowUpError::Finished(row.finished_status()?)),
            "lost" => Err(FailFollowUpError::LeaseLost),
            _ => Err(FailFollowUpError::NotFound),
        }
    }
}
