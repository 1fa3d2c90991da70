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
mod role;
mod sent_at;
mod templates;
mod tokens;

pub use teppan_shared::conversation_id::ConversationId;

pub use self::{
    channel::Channel,
    claim::{BatchSize, ClaimKey, ClaimToken, Claimant, LeaseTime, RetryPause, WaitTime},
    content::Content,
    conversation::{Conversation, ConversationStatus},
    emotion::{DetectedEmotions, Emotion, EmotionLabel, EmotionScore},
    emotion_statistics::{EmotionLevel, EmotionStatistics, EmotionTrend},
    follow_up::{FailureReason, FollowUp, FollowUpId, FollowUpStatus, FollowUpTrigger, Subject, TimeZone},
    ids::{MessageId, UserId},
    message::{Message, NewMessage},
    metadata::Metadata,
    role::Role,
    sent_at::SentAt,
    templates::{Mood, Templates},
    tokens::TokenCount,
};

/// PostgreSQL keeps every character in text but this one.
const NUL: char = '\0';
