//! Encoding of domain types for responses.

use teppan_shared::{contract::conversation::v1 as wire, wire::timestamp};

use super::parts;
use crate::{
    domain::{Content, Metadata, UserId},
    emotions::{Emotion, EmotionLabel, EmotionScore, EmotionStatistics},
    follow_ups::{FollowUp, FollowUpStatus},
    handoffs::{HeldConversation, Holder},
    messages::{Message, TokenCount},
    summaries::Summary,
};

pub fn conversation(held: &HeldConversation) -> wire::Conversation {
    let HeldConversation { conversation, handoff, .. } = held;
    let (holder, assignee) = match held.holder() {
        Holder::Assistant => (wire::ConversationHolder::Assistant, String::new()),
        Holder::Queue => (wire::ConversationHolder::Queue, String::new()),
        Holder::Person(assignee) => (wire::ConversationHolder::Person, assignee.as_str().to_owned()),
    };
    wire::Conversation {
        conversation_id: conversation.conversation_id.to_string(),
        user_id: conversation.user_id.as_ref().map_or("", UserId::as_str).to_owned(),
        channel: wire::Channel::from(conversation.channel).into(),
        status: wire::ConversationStatus::from(conversation.status).into(),
        message_count: conversation.message_count,
        last_message_at: Some(timestamp(conversation.last_message_at)),
        created_at: Some(timestamp(conversation.created_at)),
        updated_at: Some(timestamp(conversation.updated_at)),
        closed_at: conversation.closed_at.map(timestamp),
        escalated_at: handoff.as_ref().map(|handoff| timestamp(handoff.escalated_at)),
        escalation_reason: handoff
            .as_ref()
            .map(|handoff| wire::EscalationReason::from(handoff.reason))
            .unwrap_or_default()
            .into(),
        holder: holder.into(),
        assignee,
        held_since: handoff.as_ref().map(|handoff| timestamp(handoff.held_since)),
        etag: held.etag(),
        emotion_statistics: None,
        summary: None,
    }
}

pub fn message(message: Message) -> wire::Message {
    wire::Message {
        message_id: message.message_id.to_string(),
        conversation_id: message.conversation_id.to_string(),
        sequence: message.sequence,
        role: wire::Role::from(message.role).into(),
        content: message.content.map(Content::into_string).unwrap_or_default(),
        channel: wire::Channel::from(message.channel).into(),
        emotion: message.emotion.as_ref().map(emotion),
        metadata: message.metadata.map(Metadata::into_fields),
        sent_at: Some(timestamp(message.sent_at)),
        stored_at: Some(timestamp(message.stored_at)),
        input_tokens: message.input_tokens.map(TokenCount::get),
        output_tokens: message.output_tokens.map(TokenCount::get),
        parts: message.parts.map(parts::encode).unwrap_or_default(),
        redacted_at: message.redaction.as_ref().map(|redaction| timestamp(redaction.redacted_at)),
        redacted_by: message.redaction.map(|redaction| redaction.redacted_by).unwrap_or_default(),
    }
}

pub fn summary(summary: Summary) -> wire::ConversationSummary {
    wire::ConversationSummary {
        through_sequence: summary.through_sequence,
        text: summary.text.into_string(),
        written_by: summary.written_by.as_str().to_owned(),
        token_count: summary.token_count.map(TokenCount::get),
        updated_at: Some(timestamp(summary.updated_at)),
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
    let label_count = |(label, count)| wire::EmotionLabelCount { label, count };
    wire::EmotionStatistics {
        score_count: statistics.score_count,
        mean_score: statistics.mean_score,
        minimum_score: statistics.minimum_score,
        maximum_score: statistics.maximum_score,
        recent_mean_score: statistics.recent_mean,
        recent_score_count: statistics.recent_count,
        level: statistics.level().map(wire::EmotionLevel::from).unwrap_or_default().into(),
        trend: statistics.trend().map(wire::EmotionTrend::from).unwrap_or_default().into(),
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
    let FollowUp { row, content, metadata } = follow_up;
    let completed = row.status == FollowUpStatus::Completed;
    let minutes_before = row.subject.minutes_before();
    wire::FollowUp {
        follow_up_id: row.follow_up_id.to_string(),
        conversation_id: row.conversation_id.to_string(),
        trigger: wire::FollowUpTrigger::from(row.trigger).into(),
        subject: row.subject.as_str().to_owned(),
        status: wire::FollowUpStatus::from(row.status).into(),
        due_at: Some(timestamp(row.due_at)),
        channel: row.channel().map(wire::Channel::from).unwrap_or_default().into(),
        time_zone: row.time_zone,
        content: content.map(Content::into_string).unwrap_or_default(),
        metadata: metadata.map(Metadata::into_fields),
        attempts: row.attempts,
        max_attempts: row.max_attempts,
        next_attempt_at: row.next_attempt_at.map(timestamp),
        lease_expires_at: row.lease_expires_at.map(timestamp),
        last_failure_reason: row
            .last_failure_reason
            .map_or(0, |reason| wire::FollowUpFailureReason::from(reason).into()),
        message_id: if completed { row.message_id.to_string() } else { String::new() },
        created_at: Some(timestamp(row.created_at)),
        updated_at: Some(timestamp(row.updated_at)),
        finished_at: row.finished_at.map(timestamp),
        customer_id: row.customer_id.map_or_else(String::new, |id| id.to_string()),
        purpose: wire::FollowUpPurpose::from(row.purpose).into(),
        cancellation_reason: row
            .cancellation_reason
            .map_or(0, |reason| wire::FollowUpCancellationReason::from(reason).into()),
        minutes_before,
        expires_at: row.expires_at.map(timestamp),
    }
}
