//! What the service talks about, as types that cannot hold a wrong value. No I/O.

mod channel;
mod claim;
mod content;
mod conversation;
mod emotion;
mod emotion_statistics;
mod follow_up;
mod ids;
mod message;
mod metadata;
mod new_follow_up;
mod role;
mod sending_hours;
mod sent_at;
mod templates;
mod tokens;

pub use teppan_shared::{conversation_id::ConversationId, idempotency_key::IdempotencyKey, time_zone::TimeZone};

pub use self::{
    channel::Channel,
    claim::{BatchSize, ClaimToken, Claimant, LeaseTime, RetryPause, WaitTime},
    content::Content,
    conversation::{Conversation, ConversationStatus},
    emotion::{DetectedEmotions, Emotion, EmotionLabel, EmotionScore},
    emotion_statistics::{EmotionLevel, EmotionStatistics, EmotionTrend},
    follow_up::{FailureReason, FollowUp, FollowUpId, FollowUpStatus, FollowUpTrigger, Subject},
    ids::{MessageId, UserId},
    message::{Message, NewMessage},
    metadata::{Metadata, MetadataFault},
    new_follow_up::{Due, FollowUpKey, NewFollowUp},
    role::Role,
    sending_hours::{ClosedZones, SendingHours},
    sent_at::SentAt,
    templates::{Mood, Templates},
    tokens::TokenCount,
};

/// PostgreSQL keeps every character in text but this one.
const NUL: char = '\0';
