use teppan_shared::outbox::NO_ANSWER;

use crate::domain::Undelivered;

/// How a delivery ended, as it is counted.
pub fn outcome(result: &Result<(), Undelivered>) -> &'static str {
    match result {
        Ok(()) => "delivered",
        Err(undelivered) if undelivered.reason() == NO_ANSWER => "timeout",
        Err(Undelivered::Failed(_)) => "failed",
        Err(Undelivered::Refused(_)) => "refused",
        Err(Undelivered::Away(_)) => "away",
        Err(Undelivered::Later(..)) => "later",
        Err(Undelivered::Silent) => "timeout",
    }
}
