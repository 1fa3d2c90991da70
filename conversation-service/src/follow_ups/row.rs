//! A follow-up as it is stored, sealed.

use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{KeyRing, Place},
};
use uuid::Uuid;

use super::{FailureReason, FollowUp, FollowUpId, FollowUpStatus, FollowUpTrigger, Subject};
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, TimeZone, UserId},
    messages,
};

/// The columns of a follow-up, but for those of its claim.
pub struct FollowUpRow {
    pub follow_up_id: Uuid,
    pub conversation_id: String,
    pub trigger: String,
    pub subject: String,
    pub status: String,
    pub due_at: DateTime<Utc>,
    pub time_zone: String,
    pub channel: String,
    pub user_id: Option<String>,
    pub content_sealed: Option<Vec<u8>>,
    pub metadata_sealed: Option<Vec<u8>>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub last_failure_reason: String,
    pub message_id: Uuid,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Where the text of a follow-up is sealed: where it will be when it is a message, so that completing
/// copies it as it is.
pub fn content_place(message_id: &MessageId) -> Place<'_> {
    messages::content_place(message_id)
}

/// Where the metadata of a follow-up is sealed.
pub fn metadata_place(follow_up_id: &FollowUpId) -> Place<'_> {
    Place { table: "follow_ups", column: "metadata_sealed", row: follow_up_id.0.as_bytes() }
}

impl FollowUpRow {
    /// The follow-up, its sealed columns opened.
    pub fn open(self, ring: &KeyRing) -> Result<FollowUp, Corrupted> {
        let column = |name| move |_| Corrupted::Column(name);
        let follow_up_id = FollowUpId(self.follow_up_id);
        let content = match &self.content_sealed {
            Some(sealed) => Some(ring.open_text(content_place(&MessageId(self.message_id)), sealed)?),
            None => None,
        };
        let metadata = match &self.metadata_sealed {
            Some(sealed) => Some(ring.open(metadata_place(&follow_up_id), sealed)?.to_vec()),
            None => None,
        };
        let channel = |raw: &str| Channel::from_column(raw).ok_or(Corrupted::Column("follow_ups.channel"));
        let reason = Some(self.last_failure_reason).filter(|reason| !reason.is_empty());
        Ok(FollowUp {
            follow_up_id,
            conversation_id: ConversationId::parse(self.conversation_id)
                .map_err(column("follow_ups.conversation_id"))?,
            trigger: FollowUpTrigger::from_column(&self.trigger).ok_or(Corrupted::Column("follow_ups.trigger"))?,
            subject: Subject::parse(self.subject).map_err(column("follow_ups.subject"))?,
            status: FollowUpStatus::from_column(&self.status).ok_or(Corrupted::Column("follow_ups.status"))?,
            due_at: self.due_at,
            time_zone: TimeZone::parse(&self.time_zone).map_err(column("follow_ups.time_zone"))?,
            channel: (!self.channel.is_empty()).then(|| channel(&self.channel)).transpose()?,
            user_id: self.user_id.map(UserId::parse).transpose().map_err(column("follow_ups.user_id"))?,
            content: content.map(Content::parse).transpose().map_err(column("follow_ups.content_sealed"))?,
            metadata: metadata.map(Metadata::read).transpose().map_err(column("follow_ups.metadata_sealed"))?,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            next_attempt_at: self.next_attempt_at,
            lease_expires_at: self.lease_expires_at,
            last_failure_reason: reason
                .map(FailureReason::parse)
                .transpose()
                .map_err(column("follow_ups.last_failure_reason"))?,
            message_id: MessageId(self.message_id),
            created_at: self.created_at,
            updated_at: self.updated_at,
            finished_at: self.finished_at,
        })
    }
}
