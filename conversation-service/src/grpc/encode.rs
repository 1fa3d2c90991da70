//! Domain to wire.

use teppan_shared::{contract::conversation::v1 as wire, wire::timestamp};

use crate::{
    conversations::{Conversation, ConversationStatus},
    domain::{Channel, Content, Metadata, Role, UserId},
    emotions::{Emotion, EmotionLabel, EmotionLevel, EmotionScore, EmotionStatistics, EmotionTrend},
    follow_ups::{FailureReason, FollowUp, FollowUpStatus, FollowUpTrigger},
    messages::{Message, TokenCount},
};

pub fn conversation(conversation: &Conversation) -> wire::Conversation {
    wire::Conversation {
        conversation_id: conversation.conversation_id.to_string(),
        user_id: conversation.user_id.as_ref().map_or("", UserId::as_str).to_owned(),
        channel: channel(conversation.channel).into(),
        status: status(conversation.status).into(),
        message_count: conversation.message_count,
        last_message_at: Some(timestamp(conversation.last_message_at)),
        created_at: Some(timestamp(conversation.created_at)),
        updated_at: Some(timestamp(conversation.updated_at)),
        closed_at: conversation.closed_at.map(timestamp),
        ..Default::default()
    }
}

pub fn message(message: Message) -> wire::Message {
    wire::Message {
        message_id: message.message_id.to_string(),
        conversation_id: message.conversation_id.to_string(),
        sequence: message.sequence,
        role: role(message.role).into(),
        content: message.content.into_string(),
        channel: channel(message.channel).into(),
        emotion: message.emotion.as_ref().map(emotion),
        metadata: message.metadata.map(Metadata::into_fields),
        sent_at: Some(timestamp(message.sent_at)),
        stored_at: Some(timestamp(message.stored_at)),
        input_tokens: message.input_tokens.map(TokenCount::get),
        output_tokens: message.output_tokens.map(TokenCount::get),
    }
}

pub fn emotion(emotion: &Emotion) -> wire::Emotion {
    wire::Emotion {
        score: emotion.score().map(EmotionScore::get),
        label: emotion.label().map_or("", EmotionLabel::as_str).to_owned(),
        detected: emotion.detected().iter().map(|label| label.as_str().to_owned()).collect(),
    }
}

pub fn emotion_statistics(statistics: EmotionStatistics) -> wire::EmotionStatistics {
    wire::EmotionStatistics {
        score_count: statistics.score_count,
        mean_score: statistics.mean_score,
        minimum_score: statistics.minimum_score,
        maximum_score: statistics.maximum_score,
        recent_mean_score: statistics.recent_mean,
        recent_score_count: statistics.recent_count,
        level: statistics.level().map_or(wire::EmotionLevel::Unspecified, level).into(),
        trend: statistics.trend().map_or(wire::EmotionTrend::Unspecified, trend).into(),
        trend_delta: statistics.trend_delta,
        escalation_suggested: statistics.escalation_suggested(),
        aggregated_through: statistics.aggregated_through,
        newest_scored_sequence: statistics.newest_scored_sequence,
        updated_at: statistics.updated_at.map(timestamp),
        label_counts: statistics.label_counts.into_iter().map(label_count).collect(),
        other_label_count: statistics.other_label_count,
    }
}

pub fn follow_up(follow_up: FollowUp) -> wire::FollowUp {
    let completed = follow_up.status == FollowUpStatus::Completed;
    wire::FollowUp {
        follow_up_id: follow_up.follow_up_id.to_string(),
        conversation_id: follow_up.conversation_id.to_string(),
        trigger: follow_up_trigger(follow_up.trigger).into(),
        subject: follow_up.subject.as_str().to_owned(),
        status: follow_up_status(follow_up.status).into(),
        due_at: Some(timestamp(follow_up.due_at)),
        time_zone: follow_up.time_zone.name().to_owned(),
        channel: follow_up.channel.map_or(wire::Channel::Unspecified, channel).into(),
        content: follow_up.content.map_or_else(String::new, Content::into_string),
        metadata: follow_up.metadata.map(Metadata::into_fields),
        attempts: follow_up.attempts,
        max_attempts: follow_up.max_attempts,
        next_attempt_at: follow_up.next_attempt_at.map(timestamp),
        lease_expires_at: follow_up.lease_expires_at.map(timestamp),
        last_failure_reason: follow_up.last_failure_reason.as_ref().map_or("", FailureReason::as_str).to_owned(),
        message_id: if completed { follow_up.message_id.to_string() } else { String::new() },
        created_at: Some(timestamp(follow_up.created_at)),
        updated_at: Some(timestamp(follow_up.updated_at)),
        finished_at: follow_up.finished_at.map(timestamp),
    }
}

fn follow_up_trigger(trigger: FollowUpTrigger) -> wire::FollowUpTrigger {
    match trigger {
        FollowUpTrigger::PostEvent => wire::FollowUpTrigger::PostEvent,
        FollowUpTrigger::Reengagement => wire::FollowUpTrigger::Reengagement,
        FollowUpTrigger::EmotionBased => wire::FollowUpTrigger::EmotionBased,
        FollowUpTrigger::Custom => wire::FollowUpTrigger::Custom,
    }
}

pub fn follow_up_status(status: FollowUpStatus) -> wire::FollowUpStatus {
    match status {
        FollowUpStatus::Pending => wire::FollowUpStatus::Pending,
        FollowUpStatus::Claimed => wire::FollowUpStatus::Claimed,
        FollowUpStatus::Completed => wire::FollowUpStatus::Completed,
        FollowUpStatus::Cancelled => wire::FollowUpStatus::Cancelled,
        FollowUpStatus::Failed => wire::FollowUpStatus::Failed,
        FollowUpStatus::Missed => wire::FollowUpStatus::Missed,
    }
}

fn label_count((label, count): (String, i64)) -> wire::EmotionLabelCount {
    wire::EmotionLabelCount { label, count }
}

fn level(level: EmotionLevel) -> wire::EmotionLevel {
    match level {
        EmotionLevel::Negative => wire::EmotionLevel::Negative,
        EmotionLevel::Neutral => wire::EmotionLevel::Neutral,
        EmotionLevel::Positive => wire::EmotionLevel::Positive,
    }
}

fn trend(trend: EmotionTrend) -> wire::EmotionTrend {
    match trend {
        EmotionTrend::Improving => wire::EmotionTrend::Improving,
        EmotionTrend::Stable => wire::EmotionTrend::Stable,
        EmotionTrend::Declining => wire::EmotionTrend::Declining,
    }
}

pub fn role(role: Role) -> wire::Role {
    match role {
        Role::User => wire::Role::User,
        Role::Assistant => wire::Role::Assistant,
        Role::System => wire::Role::System,
        Role::Tool => wire::Role::Tool,
    }
}

pub fn channel(channel: Channel) -> wire::Channel {
    match channel {
        Channel::Web => wire::Channel::Web,
        Channel::Email => wire::Channel::Email,
        Channel::Sms => wire::Channel::Sms,
        Channel::Voice => wire::Channel::Voice,
        Channel::Whatsapp => wire::Channel::Whatsapp,
        Channel::Facebook => wire::Channel::Facebook,
        Channel::Instagram => wire::Channel::Instagram,
    }
}

fn status(status: ConversationStatus) -> wire::ConversationStatus {
    match status {
        ConversationStatus::Open => wire::ConversationStatus::Open,
        ConversationStatus::Escalated => wire::ConversationStatus::Escalated,
        ConversationStatus::Closed => wire::ConversationStatus::Closed,
    }
}
