use chrono::SubsecRound as _;
use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::conversation::v1::{
        self as wire, ScheduleFollowUpOutcome, ScheduleFollowUpRequest, ScheduleFollowUpResponse,
    },
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{decode, encode, enums::WireEnum as _};
use crate::{
    domain::{Channel, Content, ConversationId, IdempotencyKey, TimeZone, UserId},
    follow_ups::{
        CustomerId, Due, FollowUpKey, FollowUpPurpose, FollowUpTrigger, MinutesBefore, NewFollowUp, Reminders,
        Revision, Scheduled, Subject,
    },
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: ScheduleFollowUpRequest) -> Result<NewFollowUp, Status> {
    decode::request(|violations| {
        let idempotency_key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let trigger = violations.check("trigger", FollowUpTrigger::required(request.trigger));
        let subject = violations.check("subject", Subject::parse(request.subject));
        let reminders_fit = check_reminders(request.reminders.is_some(), trigger, subject.as_ref(), violations);
        let reminders =
            request.reminders.map_or(Some(None), |reminders| decode_reminders(reminders, violations).map(Some));
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
        reminders_fit.then_some(())?;
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
            reminders: reminders?,
        })
    })
}

/// Whether the request may have the reminders that it has, or is one itself.
fn check_reminders(
    has_reminders: bool,
    trigger: Option<FollowUpTrigger>,
    subject: Option<&Subject>,
    violations: &mut Violations,
) -> bool {
    // An invalid trigger or subject is already reported.
    let faults = [
        (
            trigger == Some(FollowUpTrigger::Reminder),
            "trigger",
            "must not be FOLLOW_UP_TRIGGER_REMINDER: give reminders to the follow-up after the event",
        ),
        (
            has_reminders && trigger.is_some_and(|trigger| trigger != FollowUpTrigger::PostEvent),
            "reminders",
            "must not be given unless the trigger is FOLLOW_UP_TRIGGER_POST_EVENT",
        ),
        (
            has_reminders && subject.is_some_and(|subject| subject.as_str().is_empty()),
            "subject",
            "is required beside reminders",
        ),
    ];
    for (_, field, must) in faults.iter().filter(|(is_fault, ..)| *is_fault) {
        violations.add(field, must);
    }
    faults.iter().all(|(is_fault, ..)| !is_fault)
}

fn decode_reminders(reminders: wire::Reminders, violations: &mut Violations) -> Option<Reminders> {
    // As the end of an event, so that its reminders are due in the calendar of protobuf.
    let starts_at = reminders.event_starts_at.ok_or("is required").and_then(decode::time);
    let starts_at = starts_at.and_then(|at| Due::at(at).map(|_| at.trunc_subsecs(6)));
    let starts_at = violations.check("reminders.event_starts_at", starts_at);
    let minutes = violations.check("reminders.minutes_before", MinutesBefore::parse(reminders.minutes_before));
    let revision = violations.check("reminders.revision", Revision::parse(reminders.revision));
    Some(Reminders { event_starts_at: starts_at?, minutes_before: minutes?, revision: revision? })
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
