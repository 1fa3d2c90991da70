use teppan_shared::postgres::DatabaseError;

use super::{Consent, FollowUps, metrics::FollowUpChange};

/// The most runs of the statement for one call. Each cancels up to 1,000 follow-ups. What is left is decided when it is
/// due.
const RUNS_MAX: u32 = 8;

/// The result of recording a consent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsentRecorded {
    /// False: a newer one is there.
    pub recorded: bool,
    /// The follow-ups that this call cancelled.
    pub cancelled: i64,
}

impl FollowUps {
    /// Records a customer's consent, unless a newer one is there. A refusal cancels the pending follow-ups that may no
    /// longer be sent, as many as a bounded number of runs can; the others are cancelled when they are due.
    ///
    /// # Errors
    /// When the database does not answer. The consent may be recorded; a repeated call does the rest.
    pub async fn record_consent(&self, consent: &Consent) -> Result<ConsentRecorded, DatabaseError> {
        let mut result = ConsentRecorded::default();
        for _ in 0..RUNS_MAX {
            let run = self.record_once(consent).await?;
            result.recorded = run.recorded;
            result.cancelled += run.cancelled;
            if !run.more {
                break;
            }
        }
        let withheld = u64::try_from(result.cancelled).unwrap_or(0);
        self.metrics.changed(FollowUpChange::Withheld, withheld);
        Ok(result)
    }

    async fn record_once(&self, consent: &Consent) -> Result<Run, DatabaseError> {
        let now = self.clock.now();
        let record = || {
            sqlx::query_file_as!(
                Run,
                "src/follow_ups/record_consent.sql",
                consent.customer_id.0,
                consent.purpose.as_ref(),
                consent.channel.as_ref().map_or("", AsRef::as_ref),
                consent.granted,
                consent.version.get(),
                now,
            )
        };
        self.database.fetch_one(record).await
    }
}

/// The row of `record_consent.sql`.
struct Run {
    recorded: bool,
    cancelled: i64,
    more: bool,
}
