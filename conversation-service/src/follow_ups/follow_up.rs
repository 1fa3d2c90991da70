use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
    telemetry,
};
use tracing::Span;
use uuid::Uuid;

use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, UserId, bounded_text, uuid_id},
    messages,
};

const REASON_CHARS_MAX: usize = 100;

uuid_id!(
    /// The id of a follow-up.
    FollowUpId
);

/// The reason for a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr, strum::VariantArray)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FollowUpTrigger {
    PostEvent,
    Reengagement,
    EmotionBased,
    Custom,
}

/// The state of a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr, strum::VariantArray)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FollowUpStatus {
    /// Waits until it is due, or until its next attempt.
    Pending,
    /// Under a lease.
    Claimed,
    /// Sent, and stored as a message.
    Completed,
    Cancelled,
    /// Every attempt failed.
    Failed,
    /// Overdue for too long to be sent.
    Missed,
}

bounded_text!(
    /// The id of the subject of a follow-up, such as a booking: at most 200 characters.
    Subject, 0..=200, "must be at most 200 characters"
);

/// Why a follow-up could not be sent: `UPPER_SNAKE_CASE`, 1 to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureReason(String);

impl FailureReason {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let mut bytes = raw.bytes();
        let first_is_valid = bytes.next().is_some_and(|byte| byte.is_ascii_uppercase());
        let rest_is_valid = bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if first_is_valid && rest_is_valid && raw.len() <= REASON_CHARS_MAX {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 100 characters in UPPER_SNAKE_CASE, such as CHANNEL_UNREACHABLE")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A row of `follow_ups`, in the order of its columns.
///
/// Statements return it as an anonymous record, because for the table's own type sqlx would query its description.
#[derive(Debug, Clone, sqlx::Type)]
#[sqlx(type_name = "record")]
pub struct FollowUpRow {
    pub follow_up_id: FollowUpId,
    pub conversation_id: ConversationId,
    pub trigger: FollowUpTrigger,
    pub subject: Subject,
    pub status: FollowUpStatus,
    pub due_at: DateTime<Utc>,
    pub time_zone: String,
    /// Empty means the conversation's channel.
    pub channel: String,
    pub user_id: Option<UserId>,
    /// Given by the call that scheduled it, or chosen when it was due.
    pub content_sealed: Option<Vec<u8>>,
    pub metadata_sealed: Option<Vec<u8>>,
    /// The time from which it could be claimed, because its text was chosen.
    pub ready_at: Option<DateTime<Utc>>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub claim_token: Option<Uuid>,
    pub claim_key: Option<String>,
    pub claimant: Option<String>,
    /// Empty while no attempt failed.
    pub last_failure_reason: String,
    /// The id of the message that it becomes.
    pub message_id: MessageId,
    /// The trace context of the call that scheduled it.
    pub traceparent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// The last time when it waited for the end of a handoff, if it did.
    pub held_until: Option<DateTime<Utc>>,
}

/// A follow-up with opened text and metadata.
#[derive(Debug, Clone)]
pub struct FollowUp {
    pub row: FollowUpRow,
    pub content: Option<Content>,
    pub metadata: Option<Metadata>,
}

/// The associated data of a follow-up's text. It equals that of the message that the follow-up becomes, so completing
/// the follow-up can copy the sealed text.
pub fn content_associated_data(message_id: &MessageId) -> AssociatedData<'_> {
    messages::content_associated_data(message_id)
}

/// The associated data of a follow-up's metadata.
pub fn metadata_associated_data(follow_up_id: &FollowUpId) -> AssociatedData<'_> {
    AssociatedData { table: "follow_ups", column: "metadata_sealed", row: follow_up_id.0.as_bytes() }
}

impl FollowUpRow {
    /// Opens the sealed columns.
    pub fn open(self, ring: &KeyRing) -> Result<FollowUp, Corrupted> {
        let content = self.content_sealed.as_ref();
        let content =
            content.map(|sealed| ring.open_text(content_associated_data(&self.message_id), sealed)).transpose()?;
        let content = content.map(Content::parse).transpose();
        Ok(FollowUp {
            content: content.map_err(|_| Corrupted::Column("follow_ups.content_sealed"))?,
            metadata: open_metadata(ring, &self.follow_up_id, self.metadata_sealed.as_deref())?,
            row: self,
        })
    }

    pub fn channel(&self) -> Option<Channel> {
        self.channel.parse().ok()
    }

    /// Links the current span to the call that scheduled the follow-up. They are separate traces, because a trace
    /// cannot stay open for days.
    pub fn link_to_scheduling(&self) {
        if let Some(traceparent) = &self.traceparent {
            telemetry::link(&Span::current(), traceparent);
        }
    }
}

/// Opens the metadata of a follow-up, if it has any.
pub fn open_metadata(ring: &KeyRing, id: &FollowUpId, sealed: Option<&[u8]>) -> Result<Option<Metadata>, Corrupted> {
    let plain = sealed.map(|sealed| ring.open(metadata_associated_data(id), sealed)).transpose()?;
    let metadata = plain.map(|plain| Metadata::read(plain.to_vec())).transpose();
    metadata.map_err(|_| Corrupted::Column("follow_ups.metadata_sealed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reason_is_upper_snake_case() {
        for good in ["A", "CHANNEL_UNREACHABLE", "E404", &"X".repeat(100)] {
            assert!(FailureReason::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a", "_A", "4A", "CHANNEL UNREACHABLE", &"X".repeat(101)] {
            assert!(FailureReason::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
