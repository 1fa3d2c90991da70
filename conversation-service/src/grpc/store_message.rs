use chrono::{DateTime, Utc};
use teppan_shared::{contract::conversation::v1 as wire, status::Violations, wire::given};
use tonic::Status;

use super::{decode, encode, enums::WireEnum as _, parts};
use crate::{
    domain::{Channel, Content, ConversationId, MessageId, Role, UserId},
    emotions::{DetectedEmotions, Emotion, EmotionLabel, EmotionScore},
    messages::{NewMessage, RequestRules, Stored, TokenCount},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: wire::StoreMessageRequest, now: DateTime<Utc>) -> Result<NewMessage, Status> {
    decode::request(|violations| {
        let conversation_id = ConversationId::parse(request.conversation_id.clone());
        let conversation_id = violations.check("conversation_id", conversation_id);
        decode_message(request, conversation_id, now, &mut RequestRules::default(), violations)
    })
}

/// Reads a message, in the conversation that it is to be stored in. `rules` knows the messages before it.
pub fn decode_message(
    request: wire::StoreMessageRequest,
    conversation_id: Option<ConversationId>,
    now: DateTime<Utc>,
    rules: &mut RequestRules,
    violations: &mut Violations,
) -> Option<NewMessage> {
    let message_id = violations.check("message_id", MessageId::parse(&request.message_id));
    let role = violations.check("role", Role::required(request.role));
    let content = match given(request.content) {
        None if !request.parts.is_empty() => Some(None),
        content => violations.check("content", Content::parse(content.unwrap_or_default())).map(Some),
    };
    let parts = parts::decode(request.parts, role, rules, violations);
    let channel = violations.check("channel", Channel::required(request.channel));
    let user_id = violations.check_optional("user_id", given(request.user_id).map(UserId::parse));
    let emotion = decode_emotion(request.emotion, violations);
    let metadata = decode::metadata(request.metadata, violations);
    let sent_at = violations.check_optional("sent_at", request.sent_at.map(|time| decode::sent_at(time, now)));
    let input_tokens = violations.check_optional("input_tokens", request.input_tokens.map(TokenCount::parse));
    let output_tokens = violations.check_optional("output_tokens", request.output_tokens.map(TokenCount::parse));
    Some(NewMessage {
        message_id: message_id?,
        conversation_id: conversation_id?,
        role: role?,
        content: content?,
        parts: parts?,
        channel: channel?,
        user_id: user_id?,
        emotion: emotion?,
        metadata: metadata?,
        sent_at: sent_at?,
        input_tokens: input_tokens?,
        output_tokens: output_tokens?,
    })
}

pub fn encode(stored: Stored) -> wire::StoreMessageResponse {
    wire::StoreMessageResponse { message: Some(encode::message(stored.message)), replayed: stored.replayed }
}

/// `Some(None)` when there is none, `None` when a part of it is invalid.
fn decode_emotion(emotion: Option<wire::Emotion>, violations: &mut Violations) -> Option<Option<Emotion>> {
    let Some(emotion) = emotion else { return Some(None) };
    let score = violations.check_optional("emotion.score", emotion.score.map(EmotionScore::parse));
    let label = violations.check_optional("emotion.label", given(emotion.label).map(EmotionLabel::parse));
    let detected = decode_detected(emotion.detected, violations);
    Some(Emotion::new(score?, label?, detected?))
}

fn decode_detected(detected: Vec<String>, violations: &mut Violations) -> Option<DetectedEmotions> {
    // A longer list may be very long; report one violation.
    if detected.len() > DetectedEmotions::COUNT_MAX {
        violations.add("emotion.detected", DetectedEmotions::MUST);
        return None;
    }
    let labels = decode::entries("emotion.detected", detected, EmotionLabel::parse, violations)?;
    violations.check("emotion.detected", DetectedEmotions::parse(labels))
}

#[cfg(test)]
mod tests {
    use teppan_shared::wire::Timestamp;

    use super::*;

    #[test]
    fn all_violations_are_reported_together() {
        let request = wire::StoreMessageRequest {
            conversation_id: "a b".to_owned(),
            message_id: "7".to_owned(),
            user_id: "u".repeat(101),
            emotion: Some(wire::Emotion {
                score: Some(f64::NAN),
                label: "l".repeat(21),
                detected: vec!["joy".to_owned(), String::new()],
            }),
            sent_at: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
            input_tokens: Some(-1),
            output_tokens: Some(-1),
            ..Default::default()
        };
        let status = decode(request, Utc::now()).expect_err("invalid");
        let mut fields: Vec<_> = tonic_types::StatusExt::get_details_bad_request(&status)
            .expect("has details")
            .field_violations
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "channel",
                "content",
                "conversation_id",
                "emotion.detected[1]",
                "emotion.label",
                "emotion.score",
                "input_tokens",
                "message_id",
                "output_tokens",
                "role",
                "sent_at",
                "user_id",
            ]
        );
    }
}
