use prost_types::Timestamp;
use teppan_shared::{
    contract::conversation::v1::{ScheduleFollowUpOutcome, ScheduleFollowUpRequest, ScheduleFollowUpResponse},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{decode, encode};
use crate::{
    domain::{Content, ConversationId, IdempotencyKey, TimeZone, UserId},
    follow_ups::{Due, FollowUpKey, FollowUpTrigger, NewFollowUp, ScheduleOutcome, Scheduled, Subject},
};

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: ScheduleFollowUpRequest) -> Result<NewFollowUp, Status> {
    let mut violations = Violations::default();
    decode_fields(request, &mut violations).ok_or_else(|| violations.into_status())
}

/// `None` when a field is wrong, which is then among the violations.
fn decode_fields(request: ScheduleFollowUpRequest, violations: &mut Violations) -> Option<NewFollowUp> {
    let idempotency_key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
    let trigger = violations.check("trigger", decode::follow_up_trigger(request.trigger));
    let subject = violations.check("subject", Subject::parse(request.subject));
    let due = decode_due(request.due_at, request.event_ends_at, trigger, violations);
    let time_zone = given(request.time_zone).map_or(Ok(TimeZone::utc()), |name| TimeZone::parse(&name));
    let time_zone = violations.check("time_zone", time_zone);
    let channel = violations.check("channel", decode::channel_filter(request.channel));
    let content = match given(request.content) {
        None if trigger == Some(FollowUpTrigger::Custom) => {
            violations.add("content", "is required for FOLLOW_UP_TRIGGER_CUSTOM");
            None
        }
        content => violations.check_optional("content", content.map(Content::parse)),
    };
    let metadata = decode::metadata(request.metadata, violations);
    let user_id = violations.check_optional("user_id", given(request.user_id).map(UserId::parse));
    Some(NewFollowUp {
        idempotency_key: idempotency_key?,
        key: FollowUpKey { conversation_id: conversation_id?, trigger: trigger?, subject: subject? },
        due: due?,
        time_zone: time_zone?,
        channel: channel?,
        content: content?,
        metadata: metadata?,
        user_id: user_id?,
        move_existing: request.move_existing,
    })
}

/// The time itself, or some time after the end of an event when only that is given.
fn decode_due(
    due_at: Option<Timestamp>,
    event_ends_at: Option<Timestamp>,
    trigger: Option<FollowUpTrigger>,
    violations: &mut Violations,
) -> Option<Due> {
    // Without a trigger, which is told to be wrong, the end of an event may be enough.
    let after_event = event_ends_at.is_some() && trigger.is_none_or(|trigger| trigger == FollowUpTrigger::PostEvent);
    if due_at.is_none() && !after_event {
        let must = "is required, unless the trigger is FOLLOW_UP_TRIGGER_POST_EVENT and event_ends_at is given";
        violations.add("due_at", must);
    }
    let due_at = due_at.map(|time| decode::time(time).and_then(Due::at));
    let event_ends_at = event_ends_at.map(|time| decode::time(time).and_then(Due::after_event));
    let due_at = violations.check_optional("due_at", due_at);
    let event_ends_at = violations.check_optional("event_ends_at", event_ends_at);
    match (due_at?, event_ends_at?) {
        (None, event_ends_at) => event_ends_at.filter(|_| after_event),
        (due_at, _) => due_at,
    }
}

pub fn encode(scheduled: Scheduled) -> ScheduleFollowUpResponse {
    let outcome = match scheduled.outcome {
        ScheduleOutcome::Created => ScheduleFollowUpOutcome::Created,
        ScheduleOutcome::Moved => ScheduleFollowUpOutcome::Moved,
        ScheduleOutcome::Existing => ScheduleFollowUpOutcome::Existing,
    };
    ScheduleFollowUpResponse {
        follow_up: Some(encode::follow_up(scheduled.follow_up)),
        replayed: scheduled.replayed,
        outcome: outcome.into(),
    }
}
