use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::conversation::v1::{ScheduleFollowUpOutcome, ScheduleFollowUpRequest, ScheduleFollowUpResponse},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{decode, encode, enums::WireEnum as _};
use crate::{
    domain::{Channel, Content, ConversationId, IdempotencyKey, TimeZone, UserId},
    follow_ups::{CustomerId, Due, FollowUpKey, FollowUpPurpose, FollowUpTrigger, NewFollowUp, Scheduled, Subject},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: ScheduleFollowUpRequest) -> Result<NewFollowUp, Status> {
    decode::request(|violations| {
        let idempotency_key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let trigger = violations.check("trigger", FollowUpTrigger::required(request.trigger));
        let subject = violations.check("subject", Subject::parse(request.subject));
        let due = decode_due(request.due_at, request.event_ends_at, trigger, violations);
        let time_zone = given(request.time_zone).map_or(Ok(TimeZone::utc()), |name| TimeZone::parse(&name));
        let time_zone = violations.check("time_zone", time_zone);
        let channel = violations.check("channel", Channel::optional(request.channel));
        let content = match given(request.content) {
            None if trigger == Some(FollowUpTrigger::Custom) => {
                violations.add("content", "is required for FOLLOW_UP_TRIGGER_CUSTOM");
                None
            }
            content => violations.check_optional("content", content.map(Content::parse)),
        };
        let metadata = decode::metadata(request.metadata, violations);
        let user_id = violations.check_optional("user_id", given(request.user_id).map(UserId::parse));
        let customer_id =
            violations.check_optional("customer_id", given(request.customer_id).map(|id| CustomerId::parse(&id)));
        let purpose = violations.check("purpose", FollowUpPurpose::optional(request.purpose));
        Some(NewFollowUp {
            idempotency_key: idempotency_key?,
            key: FollowUpKey { conversation_id: conversation_id?, trigger: trigger?, subject: subject? },
            due: due?,
            time_zone: time_zone?,
            channel: channel?,
            content: content?,
            metadata: metadata?,
            user_id: user_id?,
            customer_id: customer_id?,
            purpose: purpose?.unwrap_or(trigger?.purpose()),
            move_existing: request.move_existing,
        })
    })
}

/// The due time, or the end of the event when only that is given.
fn decode_due(
    due_at: Option<Timestamp>,
    event_ends_at: Option<Timestamp>,
    trigger: Option<FollowUpTrigger>,
    violations: &mut Violations,
) -> Option<Due> {
    // An invalid trigger is already reported, so it causes no further violation here.
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
    ScheduleFollowUpResponse {
        follow_up: Some(encode::follow_up(scheduled.follow_up)),
        replayed: scheduled.replayed,
        outcome: ScheduleFollowUpOutcome::from(scheduled.outcome).into(),
    }
}
