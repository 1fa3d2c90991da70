use chrono::{DateTime, Utc};

use crate::{
    conversations::{Conversation, ConversationStatus},
    domain::{ConversationId, printable_text},
};

printable_text!(
    /// A person who may hold a conversation, by an id of the client: 1 to 100 printable ASCII characters.
    Assignee, "must be 1 to 100 printable ASCII characters, such as agent-7"
);

/// Why a conversation was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr, strum::VariantArray)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum EscalationReason {
    LowEmotion,
    CustomerRequest,
    BeyondAssistant,
    Other,
}

/// Who answers the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Assistant,
    /// Nobody yet: it waits for a person.
    Queue,
    Person(Assignee),
}

/// The handing over of a conversation that is escalated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    pub escalated_at: DateTime<Utc>,
    pub reason: EscalationReason,
    /// `None` while it waits in the queue.
    pub assignee: Option<Assignee>,
    /// Since when it waits in the queue, or is with its assignee.
    pub held_since: DateTime<Utc>,
}

/// A row of `conversation_handoffs`, in the order of its columns.
///
/// Statements return it as an anonymous record: sqlx would ask the server to describe the table's own type.
#[derive(Debug, Clone, sqlx::Type)]
#[sqlx(type_name = "record")]
pub struct HandoffRow {
    pub conversation_id: ConversationId,
    pub version: i64,
    pub escalated_at: Option<DateTime<Utc>>,
    pub reason: Option<EscalationReason>,
    pub assignee: Option<Assignee>,
    pub held_since: Option<DateTime<Utc>>,
}

/// A conversation, and who holds it.
#[derive(Debug, Clone)]
pub struct HeldConversation {
    pub conversation: Conversation,
    /// `None` unless it is escalated.
    pub handoff: Option<Handoff>,
    /// Of the row of its handoff; 0 when it was never handed over.
    pub version: i64,
}

impl HeldConversation {
    pub fn new(conversation: Conversation, row: Option<HandoffRow>) -> Self {
        let version = row.as_ref().map_or(0, |row| row.version);
        let handoff = row.and_then(|row| {
            Some(Handoff {
                escalated_at: row.escalated_at?,
                reason: row.reason?,
                assignee: row.assignee,
                held_since: row.held_since?,
            })
        });
        Self { conversation, handoff, version }
    }

    pub fn holder(&self) -> Holder {
        match (self.conversation.status, self.handoff.as_ref().and_then(|handoff| handoff.assignee.clone())) {
            (ConversationStatus::Open | ConversationStatus::Closed, _) => Holder::Assistant,
            (ConversationStatus::Escalated, None) => Holder::Queue,
            (ConversationStatus::Escalated, Some(assignee)) => Holder::Person(assignee),
        }
    }

    /// Changes with the status and the holder, and not with messages. The status is part of it because a message that
    /// opens a closed conversation does not raise the version.
    pub fn etag(&self) -> String {
        format!("{}.{}", self.version, self.conversation.status.as_ref())
    }
}
