//! Types that several modules use and that cannot contain an invalid value. No I/O.

mod bounded;
mod channel;
mod content;
mod ids;
mod metadata;
mod parts;
mod role;
mod sent_at;
mod sequence;

pub use teppan_shared::{conversation_id::ConversationId, idempotency_key::IdempotencyKey, time_zone::TimeZone};

pub use self::{
    bounded::NUL,
    channel::Channel,
    content::Content,
    ids::{MessageId, UserId},
    metadata::Metadata,
    parts::{
        Attachment, AttachmentName, AttachmentUri, CallId, FileSize, MediaType, Part, Parts, ToolCall, ToolName,
        ToolOutput, ToolResult,
    },
    role::Role,
    sent_at::SentAt,
    sequence::{SequenceOrder, SequenceRange},
};

pub(crate) use self::bounded::{bounded_number, bounded_text, printable_text, uuid_id};
