//! Conversions between the enums of the domain and of protobuf, which have the same names.

use teppan_shared::contract::conversation::v1 as wire;

use crate::{
    conversations::{ConversationOrder, ConversationStatus},
    domain::{Channel, Role, SequenceOrder},
    emotions::{EmotionLevel, EmotionTrend},
    follow_ups::{
        CancellationReason, FailureReason, FollowUpOrder, FollowUpPurpose, FollowUpStatus, FollowUpTrigger,
        ScheduleOutcome,
    },
    handoffs::EscalationReason,
};

/// A domain enum that occurs in requests.
pub trait WireEnum: Sized {
    /// The requirement of the field.
    const MUST: &'static str;

    /// The value, or `None` for UNSPECIFIED.
    fn optional(raw: i32) -> Result<Option<Self>, &'static str>;

    fn required(raw: i32) -> Result<Self, &'static str> {
        Self::optional(raw)?.ok_or(Self::MUST)
    }
}

/// Who holds a conversation, without the name of the person, which is a field of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationHolder {
    Assistant,
    Queue,
    Person,
}

/// Conversion to protobuf, and for enums in requests also from protobuf.
macro_rules! wire_enum {
    ($domain:ident as $wire:ident { $($name:ident),+ }) => {
        impl From<$domain> for wire::$wire {
            fn from(value: $domain) -> Self {
                match value {
                    $($domain::$name => Self::$name),+
                }
            }
        }
    };
    ($domain:ident { $($name:ident),+ } $must:literal) => {
        wire_enum!($domain as $domain { $($name),+ } $must);
    };
    ($domain:ident as $wire:ident { $($name:ident),+ } $must:literal) => {
        wire_enum!($domain as $wire { $($name),+ });

        impl WireEnum for $domain {
            const MUST: &'static str = $must;

            fn optional(raw: i32) -> Result<Option<Self>, &'static str> {
                match wire::$wire::try_from(raw) {
                    Ok(wire::$wire::Unspecified) => Ok(None),
                    $(Ok(wire::$wire::$name) => Ok(Some(Self::$name)),)+
                    Err(_) => Err($must),
                }
            }
        }
    };
}

wire_enum!(Role { User, Assistant, System, Tool } "must be ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM or ROLE_TOOL");
wire_enum!(Channel { Web, Email, Sms, Voice, Whatsapp, Facebook, Instagram }
    "must be CHANNEL_WEB, CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_VOICE, CHANNEL_WHATSAPP, CHANNEL_FACEBOOK or \
     CHANNEL_INSTAGRAM");
wire_enum!(ConversationStatus { Open, Escalated, Closed }
    "must be CONVERSATION_STATUS_OPEN, CONVERSATION_STATUS_ESCALATED or CONVERSATION_STATUS_CLOSED");
wire_enum!(ConversationOrder { NewestFirst, LongestWaitingFirst }
    "must be CONVERSATION_ORDER_NEWEST_FIRST or CONVERSATION_ORDER_LONGEST_WAITING_FIRST");
wire_enum!(ConversationHolder { Assistant, Queue, Person }
    "must be CONVERSATION_HOLDER_ASSISTANT, CONVERSATION_HOLDER_QUEUE or CONVERSATION_HOLDER_PERSON");
wire_enum!(EscalationReason { LowEmotion, CustomerRequest, BeyondAssistant, Other }
    "must be one of EscalationReason, such as ESCALATION_REASON_CUSTOMER_REQUEST");
wire_enum!(SequenceOrder { OldestFirst, NewestFirst }
    "must be SEQUENCE_ORDER_OLDEST_FIRST or SEQUENCE_ORDER_NEWEST_FIRST");
wire_enum!(FollowUpTrigger { PostEvent, Reengagement, EmotionBased, Custom, Reminder }
    "must be FOLLOW_UP_TRIGGER_POST_EVENT, FOLLOW_UP_TRIGGER_REENGAGEMENT, FOLLOW_UP_TRIGGER_EMOTION_BASED, \
     FOLLOW_UP_TRIGGER_CUSTOM or FOLLOW_UP_TRIGGER_REMINDER");
wire_enum!(FollowUpStatus { Pending, Claimed, Completed, Cancelled, Failed, Missed }
    "must be one of FollowUpStatus, such as FOLLOW_UP_STATUS_PENDING");
wire_enum!(FollowUpPurpose { Transactional, Marketing }
    "must be FOLLOW_UP_PURPOSE_TRANSACTIONAL or FOLLOW_UP_PURPOSE_MARKETING");
wire_enum!(CancellationReason as FollowUpCancellationReason { Requested, CustomerReturned, ConsentMissing });
wire_enum!(FollowUpOrder { EarliestFirst, LatestFirst }
    "must be FOLLOW_UP_ORDER_EARLIEST_FIRST or FOLLOW_UP_ORDER_LATEST_FIRST");
wire_enum!(EmotionLevel { Negative, Neutral, Positive }
    "must be EMOTION_LEVEL_NEGATIVE, EMOTION_LEVEL_NEUTRAL or EMOTION_LEVEL_POSITIVE");
wire_enum!(FailureReason as FollowUpFailureReason {
    ChannelUnreachable, RecipientUnknown, RecipientOptedOut, MessageRejected, RateLimited, Timeout, SenderFault, Other,
    LeaseExpired
} "must be a FollowUpFailureReason that a sender can report, such as FOLLOW_UP_FAILURE_REASON_CHANNEL_UNREACHABLE");
wire_enum!(EmotionTrend as EmotionTrend { Improving, Stable, Declining });
wire_enum!(ScheduleOutcome as ScheduleFollowUpOutcome { Created, Moved, Existing });
