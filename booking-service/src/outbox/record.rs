use chrono::{DateTime, Utc};
use teppan_shared::{outbox::NO_ANSWER, postgres::DatabaseError, worker::jittered};

use super::Outbox;
use crate::domain::{OutboxDestination, OutboxMessage, Undelivered, pause_after};

/// What became of a message.
pub type Delivered = (OutboxMessage, Result<(), Undelivered>);

/// How many messages became what. Those that were claimed anew in the meantime are none of these.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recorded {
    pub delivered: i64,
    pub put_back: i64,
    pub dead: i64,
}

impl Outbox {
    /// Records what became of messages that were claimed.
    ///
    /// # Errors
    /// When the database gave no answer. The messages come back when their leases end.
    pub(super) async fn record(
        &self,
        destination: OutboxDestination,
        delivered: &[Delivered],
    ) -> Result<Recorded, DatabaseError> {
        let now = self.clock.now();
        let verdicts: Vec<_> = delivered
            .iter()
            .map(|(message, result)| verdict(message, result, self.settings.attempts_max, now))
            .collect();
        let each = |field: fn(&OutboxMessage) -> i64| delivered.iter().map(|(it, _)| field(it)).collect::<Vec<_>>();
        let bookings: Vec<_> = delivered.iter().map(|(message, _)| message.booking_id.0).collect();
        let (versions, claims) = (each(|it| it.version), each(|it| it.claim));
        let outcomes: Vec<_> = verdicts.iter().map(|it| it.outcome.to_owned()).collect();
        let reasons: Vec<_> = verdicts.iter().map(|it| it.reason.clone()).collect();
        let next_attempts: Vec<_> = verdicts.iter().map(|it| it.next_attempt_at).collect();
        self.database
            .fetch_one(|| {
                sqlx::query_file_as!(
                    Recorded,
                    "src/outbox/record_deliveries.sql",
                    destination.as_str(),
                    now,
                    &bookings,
                    &versions,
                    &claims,
                    &outcomes,
                    &reasons,
                    &next_attempts,
                )
            })
            .await
    }
}

/// What is written down about one delivery; the statement says what each outcome means.
struct Verdict {
    outcome: &'static str,
    reason: String,
    next_attempt_at: DateTime<Utc>,
}

fn verdict(
    message: &OutboxMessage,
    result: &Result<(), Undelivered>,
    attempts_max: i32,
    now: DateTime<Utc>,
) -> Verdict {
    let verdict = |outcome, reason: &str| Verdict { outcome, reason: reason.to_owned(), next_attempt_at: now };
    match result {
        Ok(()) => verdict("DELIVERED", ""),
        Err(Undelivered::Away(reason)) => verdict("AWAY", reason),
        Err(Undelivered::Silent) => verdict("AWAY", NO_ANSWER),
        Err(Undelivered::Later(reason, pause)) => Verdict { next_attempt_at: now + *pause, ..verdict("LATER", reason) },
        Err(Undelivered::Refused(reason)) => verdict("DEAD", reason),
        Err(Undelivered::Failed(reason)) if message.attempts >= attempts_max => verdict("DEAD", reason),
        Err(Undelivered::Failed(reason)) => {
            let next_attempt_at = now + jittered(pause_after(message.attempts));
            Verdict { next_attempt_at, ..verdict("FAILED", reason) }
        }
    }
}
