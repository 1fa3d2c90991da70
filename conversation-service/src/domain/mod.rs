//! Types that more than one subject uses and that cannot hold a wrong value. No I/O.

mod channel;
mod content;
mod ids;
mod metadata;
mod role;
mod sent_at;
mod sequence;

pub use teppan_shared::{conversation_id::ConversationId, idempotency_key::IdempotencyKey, time_zone::TimeZone};

pub use self::{
    channel::Channel,
    content::Content,
    ids::{MessageId, UserId},
    metadata::Metadata,
    role::Role,
    sent_at::SentAt,
    sequence::{SequenceOrder, SequenceRange},
};

/// PostgreSQL stores every character in text but this one.
pub const NUL: char = '\0';
