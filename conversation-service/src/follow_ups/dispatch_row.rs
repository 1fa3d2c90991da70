//! What the statements of a sender answer: claim_due_follow_ups.sql, complete_follow_up.sql and
//! fail_follow_up.sql.

use chrono::{DateTime, Utc};
use teppan_shared::{read_error::Corrupted, sealing::KeyRing, telemetry};
use tracing::Span;
use uuid::Uuid;

use super::{FollowUp, FollowUpStatus, row::FollowUpRow};

/// What happened, and the follow-up, if there is one, as it is now.
pub struct DispatchRow {
    /// Each statement's own comment says what its outcomes mean.
    pub outcome: String,
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
    pub claim_token: Option<Uuid>,
    /// The trace context of the call that scheduled it.
    pub traceparent: Option<String>,
    /// Of its message.
    pub sequence: Option<i64>,
    pub sent_at: Option<DateTime<Utc>>,
    pub stored_at: Option<DateTime<Utc>>,
}

impl DispatchRow {
    /// The follow-up, its sealed columns opened.
    pub fn open(self, ring: &KeyRing) -> Result<FollowUp, Corrupted> {
        self.row().ok_or(Corrupted::Column("follow_ups"))?.open(ring)
    }

    /// The state it is in.
    pub fn finished_status(&self) -> Result<FollowUpStatus, Corrupted> {
        let status = self.status.as_deref().and_then(FollowUpStatus::from_column);
        status.ok_or(Corrupted::Column("follow_ups.status"))
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

    /// Links the span of this call to the call that scheduled the follow-up, days ago: this one is a
    /// trace of its own, because no trace is kept open for so long.
    pub fn link_to_scheduling(&self) {
        if let Some(traceparent) = &self.traceparent {
            telemetry::link(&Span::current(), traceparent);
        }
    }
}
