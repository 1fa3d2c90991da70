//! The one row that the statements about one follow-up answer; each statement's own comment says what
//! its answers mean.

use chrono::{DateTime, Utc};
use teppan_shared::{read_error::Corrupted, sealing::KeyRing};
use uuid::Uuid;

use super::{FollowUp, row::FollowUpRow};

/// What a statement did or found, and the follow-up after it, of which all columns are null when there is
/// none.
pub struct FollowUpAnswer {
    pub answer: String,
    /// Of the call that is repeated.
    pub fingerprint: Option<Vec<u8>>,
    pub outcome: Option<String>,
    pub follow_up_id: Option<Uuid>,
    pub conversation_id: Option<String>,
    pub trigger: Option<String>,
    pub subject: Option<String>,
    pub status: Option<String>,
    pub due_at: Option<DateTime<Utc>>,
    pub time_zone: Option<String>,
    pub channel: Option<String>,
    pub user_id: Option<String>,
    pub content_sealed: Option<Vec<u8>>,
    pub metadata_sealed: Option<Vec<u8>>,
    pub attempts: Option<i32>,
    pub max_attempts: Option<i32>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub last_failure_reason: Option<String>,
    pub message_id: Option<Uuid>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl FollowUpAnswer {
    /// Whether this is the answer to another request under the same key.
    pub fn is_of_another(&self, fingerprint: &[u8; 32]) -> bool {
        self.fingerprint.as_ref().is_some_and(|recorded| recorded != fingerprint)
    }

    /// The follow-up, its sealed columns opened.
    pub fn open(self, ring: &KeyRing) -> Result<Option<FollowUp>, Corrupted> {
        self.row().map(|row| row.open(ring)).transpose()
    }

    fn row(self) -> Option<FollowUpRow> {
        Some(FollowUpRow {
            follow_up_id: self.follow_up_id?,
            conversation_id: self.conversation_id?,
            trigger: self.trigger?,
            subject: self.subject?,
            status: self.status?,
            due_at: self.due_at?,
            time_zone: self.time_zone?,
            channel: self.channel?,
            user_id: self.user_id,
            content_sealed: self.content_sealed,
            metadata_sealed: self.metadata_sealed,
            attempts: self.attempts?,
            max_attempts: self.max_attempts?,
            next_attempt_at: self.next_attempt_at,
            lease_expires_at: self.lease_expires_at,
            last_failure_reason: self.last_failure_reason?,
            message_id: self.message_id?,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
            finished_at: self.finished_at,
        })
    }
}
