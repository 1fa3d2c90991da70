//! The row that the statements for scheduling and cancelling return. The comments of the statements explain the
//! answers.

use super::FollowUpRow;
use teppan_shared::sealing::Hashes;

/// The result of a statement, and the follow-up after it.
pub struct FollowUpAnswer<Outcome> {
    pub answer: String,
    /// The fingerprint of an earlier call with the same key.
    pub fingerprint: Option<Vec<u8>>,
    pub outcome: Option<Outcome>,
    pub follow_up: Option<FollowUpRow>,
    /// The reminders that the statement created or cancelled.
    pub reminders: i64,
}

impl<Outcome> FollowUpAnswer<Outcome> {
    pub fn reminders(&self) -> u64 {
        u64::try_from(self.reminders).unwrap_or_default()
    }

    /// Whether the key was used for another request.
    pub fn key_was_reused(&self, fingerprint: &Hashes) -> bool {
        self.fingerprint.as_ref().is_some_and(|recorded| !fingerprint.matches(recorded))
    }
}
