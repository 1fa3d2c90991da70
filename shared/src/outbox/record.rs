use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Message, NO_ANSWER, Outbox, Undelivered};
use crate::{backoff::Backoff, postgres::DatabaseError};

/// The pauses between the attempts of one message.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));

/// A message and the result of its delivery.
pub(super) type Attempted = (Message, Result<(), Undelivered>);

/// The number of messages by outcome. Messages that were claimed again meanwhile are not counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recorded {
    pub delivered: i64,
    pub put_back: i64,
    pub dead: i64,
    /// Whether later messages of the same aggregates are due now.
    pub more: bool,
}

impl Outbox {
    /// Records the results of deliveries.
    ///
    /// # Errors
    /// When the database does not answer. The messages are due again when their leases end.
    pub(super) async fn record(
        &self,
        destination: &'static str,
        attempted: &[Attempted],
    ) -> Result<Recorded, DatabaseError> {
        let now = self.clock.now();
        let outcomes: Vec<Outcome> =
            attempted.iter().map(|it| Outcome::of(it, self.settings.attempts_max, now)).collect();
        let aggregates: Vec<_> = attempted.iter().map(|(message, _)| message.aggregate_id.clone()).collect();
        let versions: Vec<_> = attempted.iter().map(|(message, _)| message.version).collect();
        let claims: Vec<_> = attempted.iter().map(|(message, _)| message.claim).collect();
        let names: Vec<_> = outcomes.iter().map(|it| it.name.to_owned()).collect();
        let reasons: Vec<_> = outcomes.iter().map(|it| it.reason.clone()).collect();
        let next_attempts: Vec<_> = outcomes.iter().map(|it| it.next_attempt_at).collect();
        let record = || {
            sqlx::query_file_as!(
                Recorded,
                "src/outbox/record.sql",
                destination,
                now,
                &aggregates,
                &versions,
                &claims,
                &names,
                &reasons,
                &next_attempts,
            )
        };
        self.database.fetch_one(record).await
    }
}

/// The result of one delivery, in the form that `record.sql` takes.
struct Outcome {
    name: &'static str,
    reason: String,
    next_attempt_at: DateTime<Utc>,
}

impl Outcome {
    fn of((message, result): &Attempted, attempts_max: i32, now: DateTime<Utc>) -> Self {
        let (name, reason, pause) = match result {
            Ok(()) => ("DELIVERED", "", Duration::ZERO),
            Err(Undelivered::Unavailable(reason)) => ("UNAVAILABLE", reason.as_str(), Duration::ZERO),
            Err(Undelivered::TimedOut) => ("UNAVAILABLE", NO_ANSWER, Duration::ZERO),
            Err(Undelivered::Postponed(reason, pause)) => ("POSTPONED", reason.as_str(), *pause),
            Err(Undelivered::Refused(reason)) => ("DEAD", reason.as_str(), Duration::ZERO),
            Err(Undelivered::Failed(reason)) if message.attempts >= attempts_max => {
                ("DEAD", reason.as_str(), Duration::ZERO)
            }
            Err(Undelivered::Failed(reason)) => {
                ("FAILED", reason.as_str(), BACKOFF.after(message.attempts.unsigned_abs()))
            }
        };
        Self { name, reason: reason.to_owned(), next_attempt_at: now + pause }
    }
}
