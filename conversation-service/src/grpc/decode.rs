//! Wire to domain, where more than one request has it.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use prost_types::{Struct, Timestamp};
use teppan_shared::{contract::conversation::v1 as wire, page::PageSizes, status::Violations};

use crate::{
    conversations::ConversationStatus,
    domain::{Channel, Metadata, Role, SentAt, SequenceOrder},
    follow_ups::{FollowUpStatus, FollowUpTrigger},
};

/// Pages of every list.
pub const PAGE_SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// The years 1 to 9999, as protobuf's timestamps have them.
const TIMESTAMP_SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

pub fn time(time: Timestamp) -> Result<DateTime<Utc>, &'static str> {
    let in_range = TIMESTAMP_SECONDS.contains(&time.seconds);
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| in_range && *nanos < 1_000_000_000);
    let time = nanos.and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos));
    time.ok_or("must be a time of the years 1 to 9999, with nanos from 0 to 999,999,999")
}

/// `Some(None)` when there is none, `None` when something in it is wrong.
pub fn metadata(given: Option<Struct>, violations: &mut Violations) -> Option<Option<Metadata>> {
    match given.map(Metadata::parse).transpose() {
        Ok(metadata) => Some(metadata),
        Err(faults) => {
            for fault in faults {
                violations.add(format_args!("metadata{}", fault.path), fault.must);
            }
            None
        }
    }
}

const CHANNEL_MUST: &str = "must be CHANNEL_WEB, CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_VOICE, CHANNEL_WHATSAPP, \
                            CHANNEL_FACEBOOK or CHANNEL_INSTAGRAM";

const ROLE_MUST: &str = "must be ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM or ROLE_TOOL";

pub fn role(raw: i32) -> Result<Role, &'static str> {
    role_filter(raw)?.ok_or(ROLE_MUST)
}

/// `None` for any role.
pub fn role_filter(raw: i32) -> Result<Option<Role>, &'static str> {
    match wire::Role::try_from(raw) {
        Ok(wire::Role::Unspecified) => Ok(None),
        Ok(wire::Role::User) => Ok(Some(Role::User)),
        Ok(wire::Role::Assistant) => Ok(Some(Role::Assistant)),
        Ok(wire::Role::System) => Ok(Some(Role::System)),
        Ok(wire::Role::Tool) => Ok(Some(Role::Tool)),
        Err(_) => Err(ROLE_MUST),
    }
}

pub fn channel(raw: i32) -> Result<Channel, &'static str> {
    channel_filter(raw)?.ok_or(CHANNEL_MUST)
}

/// `None` for any channel.
pub fn channel_filter(raw: i32) -> Result<Option<Channel>, &'static str> {
    match wire::Channel::try_from(raw) {
        Ok(wire::Channel::Unspecified) => Ok(None),
        Ok(wire::Channel::Web) => Ok(Some(Channel::Web)),
        Ok(wire::Channel::Email) => Ok(Some(Channel::Email)),
        Ok(wire::Channel::Sms) => Ok(Some(Channel::Sms)),
        Ok(wire::Channel::Voice) => Ok(Some(Channel::Voice)),
        Ok(wire::Channel::Whatsapp) => Ok(Some(Channel::Whatsapp)),
        Ok(wire::Channel::Facebook) => Ok(Some(Channel::Facebook)),
        Ok(wire::Channel::Instagram) => Ok(Some(Channel::Instagram)),
        Err(_) => Err(CHANNEL_MUST),
    }
}

/// `None` for any status.
pub fn status_filter(raw: i32) -> Result<Option<ConversationStatus>, &'static str> {
    match wire::ConversationStatus::try_from(raw) {
        Ok(wire::ConversationStatus::Unspecified) => Ok(None),
        Ok(wire::ConversationStatus::Open) => Ok(Some(ConversationStatus::Open)),
        Ok(wire::ConversationStatus::Escalated) => Ok(Some(ConversationStatus::Escalated)),
        Ok(wire::ConversationStatus::Closed) => Ok(Some(ConversationStatus::Closed)),
        Err(_) => Err("must be CONVERSATION_STATUS_OPEN, CONVERSATION_STATUS_ESCALATED or CONVERSATION_STATUS_CLOSED"),
    }
}

const TRIGGER_MUST: &str = "must be FOLLOW_UP_TRIGGER_POST_EVENT, FOLLOW_UP_TRIGGER_REENGAGEMENT, \
                            FOLLOW_UP_TRIGGER_EMOTION_BASED or FOLLOW_UP_TRIGGER_CUSTOM";

pub fn follow_up_trigger(raw: i32) -> Result<FollowUpTrigger, &'static str> {
    follow_up_trigger_filter(raw)?.ok_or(TRIGGER_MUST)
}

/// `None` for any trigger.
pub fn follow_up_trigger_filter(raw: i32) -> Result<Option<FollowUpTrigger>, &'static str> {
    match wire::FollowUpTrigger::try_from(raw) {
        Ok(wire::FollowUpTrigger::Unspecified) => Ok(None),
        Ok(wire::FollowUpTrigger::PostEvent) => Ok(Some(FollowUpTrigger::PostEvent)),
        Ok(wire::FollowUpTrigger::Reengagement) => Ok(Some(FollowUpTrigger::Reengagement)),
        Ok(wire::FollowUpTrigger::EmotionBased) => Ok(Some(FollowUpTrigger::EmotionBased)),
        Ok(wire::FollowUpTrigger::Custom) => Ok(Some(FollowUpTrigger::Custom)),
        Err(_) => Err(TRIGGER_MUST),
    }
}

/// `None` for any status.
pub fn follow_up_status_filter(raw: i32) -> Result<Option<FollowUpStatus>, &'static str> {
    match wire::FollowUpStatus::try_from(raw) {
        Ok(wire::FollowUpStatus::Unspecified) => Ok(None),
        Ok(wire::FollowUpStatus::Pending) => Ok(Some(FollowUpStatus::Pending)),
        Ok(wire::FollowUpStatus::Claimed) => Ok(Some(FollowUpStatus::Claimed)),
        Ok(wire::FollowUpStatus::Completed) => Ok(Some(FollowUpStatus::Completed)),
        Ok(wire::FollowUpStatus::Cancelled) => Ok(Some(FollowUpStatus::Cancelled)),
        Ok(wire::FollowUpStatus::Failed) => Ok(Some(FollowUpStatus::Failed)),
        Ok(wire::FollowUpStatus::Missed) => Ok(Some(FollowUpStatus::Missed)),
        Err(_) => Err("must be one of FollowUpStatus, such as FOLLOW_UP_STATUS_PENDING"),
    }
}

pub fn order(raw: i32) -> Result<SequenceOrder, &'static str> {
    match wire::SequenceOrder::try_from(raw) {
        Ok(wire::SequenceOrder::Unspecified | wire::SequenceOrder::OldestFirst) => Ok(SequenceOrder::OldestFirst),
        Ok(wire::SequenceOrder::NewestFirst) => Ok(SequenceOrder::NewestFirst),
        Err(_) => Err("must be SEQUENCE_ORDER_OLDEST_FIRST or SEQUENCE_ORDER_NEWEST_FIRST"),
    }
}

/// When a message was sent.
pub fn sent_at(raw: Timestamp, now: DateTime<Utc>) -> Result<SentAt, &'static str> {
    SentAt::parse(time(raw)?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_outside_what_protobuf_allows_is_refused() {
        let time = |seconds, nanos| time(Timestamp { seconds, nanos });
        assert!(time(1_700_000_000, 999_999_999).is_ok());
        assert!(time(-62_135_596_800, 0).is_ok());
        for (seconds, nanos) in [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)]
        {
            assert!(time(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
