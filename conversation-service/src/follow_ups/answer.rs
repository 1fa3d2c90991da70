//! The one row of the statements that schedule and cancel. Each statement's own comment says what its
//! answers mean.

use super::FollowUpRow;

/// What a statement did or found, and the follow-up after it.
pub struct FollowUpAnswer<Outcome> {
    pub answer: String,
    /// Of the earlier call with the same key.
    pub fingerprint: Option<Vec<u8>>,
    pub outcome: Option<Outcome>,
    pub follow_up: Option<FollowUpRow>,
}

impl<Outcome> FollowUpAnswer<Outcome> {
    /// Whether the key was used for another request.
    pub fn key_was_reused(&self, fingerprint: &[u8; 32]) -> bool {
        self.fingerprint.as_ref().is_some_and(|recorded| recorded != fingerprint)
    }
}
