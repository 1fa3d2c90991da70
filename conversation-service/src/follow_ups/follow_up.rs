use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
    telemetry,
};
use tracing::Span;
use uuid::Uuid;

use super::FollowUpPurpose;
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Metadata, Role, uuid_id},
    messages::{BoundRow, Companions, MessageBinding},
};

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
    /// Before an event; several for one subject.
    Reminder,
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

/// What a follow-up is about: nothing in particular, a kind such as `weekly_offer`, or one of a kind such as
/// `booking:<UUID>`. Stored and published in clear, so the form has no room for an address or a number.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Subject(String);

impl Subject {
    const KIND_CHARS_MAX: usize = 40;

    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let (kind, id) = raw.split_once(':').map_or((raw.as_str(), None), |(kind, id)| (kind, Some(id)));
        let is_kind = kind.starts_with(|first: char| first.is_ascii_lowercase())
            && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && kind.len() <= Self::KIND_CHARS_MAX;
        // In its usual form only: the same id in upper case would be another subject.
        let is_id = |id: &str| Uuid::try_parse(id).is_ok_and(|parsed| parsed.to_string() == id);
        if raw.is_empty() || (is_kind && id.is_none_or(is_id)) {
            Ok(Self(raw))
        } else {
            Err("must be a kind of 1 to 40 lower-case letters and underscores, or a kind, a colon and a UUID, such as \
                 booking:0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90")
        }
    }

    /// Like [`Subject::parse`], or the subject of a reminder, such as `booking:<UUID>:1440`.
    pub fn parse_any(raw: String) -> Result<Self, &'static str> {
        match Self::split_minutes(&raw) {
            Some((event, _)) if event.contains(':') => Self::parse(event.to_owned()).map(|_| Self(raw)),
            _ => Self::parse(raw),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of a reminder, how long before its event it is sent, in minutes; otherwise 0.
    pub fn minutes_before(&self) -> i32 {
        Self::split_minutes(&self.0).map_or(0, |(_, minutes)| minutes)
    }

    /// The subject of the event, and the minutes. A UUID has no form in which it could be taken for minutes.
    fn split_minutes(raw: &str) -> Option<(&str, i32)> {
        let (event, minutes) = raw.rsplit_once(':')?;
        let is_number =
            !minutes.starts_with('0') && minutes.len() <= 5 && minutes.bytes().all(|it| it.is_ascii_digit());
        if is_number { Some((event, minutes.parse().ok()?)) } else { None }
    }
}

/// Why a follow-up could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    ChannelUnreachable,
    RecipientUnknown,
    RecipientOptedOut,
    MessageRejected,
    RateLimited,
    Timeout,
    SenderFault,
    Other,
    /// The sender did not report before its lease expired.
    LeaseExpired,
}

/// Why a follow-up was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::IntoStaticStr)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum CancellationReason {
    Requested,
    /// The user of a re-engagement has written or booked.
    CustomerReturned,
    ConsentMissing,
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
    pub user_hash: Option<Vec<u8>>,
    pub user_sealed: Option<Vec<u8>>,
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
    /// `None` while no attempt failed.
    pub last_failure_reason: Option<FailureReason>,
    /// The id of the message that it becomes.
    pub message_id: MessageId,
    /// The trace context of the call that scheduled it.
    pub traceparent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// The last time when it waited for the end of a handoff, if it did.
    pub held_until: Option<DateTime<Utc>>,
    pub customer_id: Option<Uuid>,
    pub purpose: FollowUpPurpose,
    /// Set exactly when it was cancelled.
    pub cancellation_reason: Option<CancellationReason>,
    /// Of a reminder, the start of its event: it is not sent any more.
    pub expires_at: Option<DateTime<Utc>>,
    /// Of a reminder, the version of its event by which it was last scheduled.
    pub revision: Option<i64>,
}

/// A follow-up with opened text and metadata.
#[derive(Debug, Clone)]
pub struct FollowUp {
    pub row: FollowUpRow,
    pub content: Option<Content>,
    pub metadata: Option<Metadata>,
}

/// What a follow-up's text is bound to: the message that the follow-up becomes, so completing the follow-up can copy the
/// sealed text.
pub fn text_row(message_id: MessageId, conversation_id: &ConversationId) -> BoundRow {
    MessageBinding { message_id, conversation_id, role: Role::Assistant }.row(Companions::default())
}

/// Seals the text of a follow-up.
pub fn seal_text(ring: &KeyRing, message_id: MessageId, conversation_id: &ConversationId, text: &str) -> Vec<u8> {
    ring.seal(text_row(message_id, conversation_id).of("content_sealed"), text.as_bytes())
}

/// Seals the metadata of a follow-up.
pub fn seal_metadata(ring: &KeyRing, id: FollowUpId, conversation_id: &ConversationId, plain: &[u8]) -> Vec<u8> {
    ring.seal(metadata_associated_data(&metadata_row(id, conversation_id)), plain)
}

fn metadata_row(id: FollowUpId, conversation_id: &ConversationId) -> Vec<u8> {
    [id.0.as_bytes().as_slice(), conversation_id.as_str().as_bytes()].concat()
}

fn metadata_associated_data(row: &[u8]) -> AssociatedData<'_> {
    AssociatedData { table: "follow_ups", column: "metadata_sealed", row }
}

impl FollowUpRow {
    /// Opens the sealed columns.
    pub fn open(self, ring: &KeyRing) -> Result<FollowUp, Corrupted> {
        let row = text_row(self.message_id, &self.conversation_id);
        let content = self.content_sealed.as_ref();
        let content = content.map(|sealed| ring.open_text(row.of("content_sealed"), sealed)).transpose()?;
        let content = content.map(Content::parse).transpose();
        Ok(FollowUp {
            content: content.map_err(|_| Corrupted::Column("follow_ups.content_sealed"))?,
            metadata: open_metadata(ring, self.follow_up_id, &self.conversation_id, self.metadata_sealed.as_deref())?,
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
pub fn open_metadata(
    ring: &KeyRing,
    id: FollowUpId,
    conversation_id: &ConversationId,
    sealed: Option<&[u8]>,
) -> Result<Option<Metadata>, Corrupted> {
    let row = metadata_row(id, conversation_id);
    let plain = sealed.map(|sealed| ring.open(metadata_associated_data(&row), sealed)).transpose()?;
    let metadata = plain.map(|plain| Metadata::read(plain.to_vec())).transpose();
    metadata.map_err(|_| Corrupted::Column("follow_ups.metadata_sealed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_kind_and_perhaps_a_uuid() {
        let id = "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
        for good in ["", "booking", &format!("booking:{id}"), "weekly_offer", &"x".repeat(40)] {
            assert!(Subject::parse(good.to_owned()).is_ok(), "{good}");
        }
        let upper = format!("booking:{}", id.to_uppercase());
        for bad in
            ["Booking", "_a", "p4930123456", "ada@example.org", "booking:7", ":", "booking:", &upper, &"x".repeat(41)]
        {
            assert!(Subject::parse(bad.to_owned()).is_err(), "{bad:?}");
            assert!(Subject::parse_any(bad.to_owned()).is_err(), "{bad:?}");
        }
        let reminder = Subject::parse_any(format!("booking:{id}:1440")).expect("a subject");
        assert_eq!((reminder.minutes_before(), reminder.as_str().len()), (1440, 49));
        assert!(Subject::parse(reminder.as_str().to_owned()).is_err(), "reminders are not scheduled by their subject");
        assert_eq!(Subject::parse(format!("booking:{id}")).expect("a subject").minutes_before(), 0);
        for bad in
            [&format!("booking:{id}:0"), &format!("booking:{id}:015"), &"booking:7:15".to_owned(), &":15".to_owned()]
        {
            assert!(Subject::parse_any(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
