//! The errors of follow-ups.

use teppan_shared::{
    contract::conversation::v1 as wire,
    status::{Failure, Violations},
};
use tonic::Status;

use crate::follow_ups::{
    CancelFollowUpError, ClaimError, CompleteFollowUpError, FailFollowUpError, FollowUpId, FollowUpStatus,
    ListFollowUpsError, ScheduleFollowUpError,
};
use crate::grpc::list_follow_ups;

pub fn claim_due_follow_ups(error: &ClaimError) -> Status {
    match error {
        ClaimError::KeyReused => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "This idempotency_key was used for another claim: use a new one for each claim, and the same request \
             when you retry.",
        )
        .into(),
        ClaimError::TooManyWaitingCalls(error) => error.to_failure().into(),
        ClaimError::Database(error) => error.to_failure().into(),
    }
}

pub fn complete_follow_up(error: &CompleteFollowUpError, follow_up_id: &FollowUpId) -> Status {
    use CompleteFollowUpError as E;

    match error {
        E::NotFound => no_follow_up(follow_up_id).into(),
        E::LeaseLost => lease_lost(follow_up_id).into(),
        E::Finished(status) => follow_up_finished(*follow_up_id, *status).into(),
        E::NoChannel => {
            let mut violations = Violations::default();
            violations.add("channel", "is required: neither the follow-up nor its conversation names a channel");
            violations.into_status()
        }
        E::KeyReused => Failure::invalid_argument(
            "IDEMPOTENCY_KEY_REUSED",
            "This message_id belongs to another message: use the message_id of the claim, or a new one.",
        )
        .into(),
        E::Corrupted(error) => error.to_failure().into(),
        E::Database(error) => error.to_failure().into(),
    }
}

pub fn fail_follow_up(error: &FailFollowUpError, follow_up_id: &FollowUpId) -> Status {
    use FailFollowUpError as E;

    match error {
        E::NotFound => no_follow_up(follow_up_id).into(),
        E::LeaseLost => lease_lost(follow_up_id).into(),
        E::Finished(status) => follow_up_finished(*follow_up_id, *status).into(),
        E::Corrupted(error) => error.to_failure().into(),
        E::Database(error) => error.to_failure().into(),
    }
}

fn no_follow_up(follow_up_id: &FollowUpId) -> Failure {
    Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", follow_up_id)
}

fn lease_lost(follow_up_id: &FollowUpId) -> Failure {
    Failure::precondition(
        "LEASE_LOST",
        subject(follow_up_id),
        "Another call has claimed this follow-up, or it was moved: drop this claim, and claim again.",
    )
    .with("follow_up_id", follow_up_id)
}

pub fn schedule_follow_up(error: &ScheduleFollowUpError) -> Status {
    match error {
        ScheduleFollowUpError::KeyReused => key_reused().into(),
        ScheduleFollowUpError::Claimed(id) => Failure::precondition(
            "FOLLOW_UP_CLAIMED",
            subject(id),
            "The follow-up is being sent and cannot be moved now: send the same call again later, when it is sent \
             or its lease is over, or cancel it first.",
        )
        .with("follow_up_id", id)
        .into(),
        // Its id is unknown, because only the key is left.
        ScheduleFollowUpError::Gone => Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", "").into(),
        ScheduleFollowUpError::Contended => Failure::overloaded().into(),
        ScheduleFollowUpError::Corrupted(error) => error.to_failure().into(),
        ScheduleFollowUpError::Database(error) => error.to_failure().into(),
    }
}

pub fn list_follow_ups(error: &ListFollowUpsError, requested: &list_follow_ups::PageRequest) -> Status {
    match error {
        ListFollowUpsError::Unreadable { cursor, source } => source
            .to_failure_of_page(list_follow_ups::token(requested, cursor))
            .with("follow_up_id", cursor.follow_up_id)
            .into(),
        ListFollowUpsError::Database(error) => error.to_failure().into(),
    }
}

pub fn cancel_follow_up(error: &CancelFollowUpError) -> Status {
    match error {
        CancelFollowUpError::KeyReused => key_reused().into(),
        CancelFollowUpError::NotFound(id) => Failure::not_found("FOLLOW_UP_NOT_FOUND", "follow_up", id).into(),
        CancelFollowUpError::Finished(id, status) => follow_up_finished(*id, *status).into(),
        CancelFollowUpError::Contended => Failure::overloaded().into(),
        CancelFollowUpError::Corrupted(error) => error.to_failure().into(),
        CancelFollowUpError::Database(error) => error.to_failure().into(),
    }
}

fn key_reused() -> Failure {
    Failure::invalid_argument(
        "IDEMPOTENCY_KEY_REUSED",
        "This idempotency_key was used for another request: use a new one for a new request, and the same request \
         when you retry.",
    )
}

fn follow_up_finished(id: FollowUpId, status: FollowUpStatus) -> Failure {
    Failure::precondition(
        "FOLLOW_UP_FINISHED",
        subject(&id),
        "The follow-up is finished, with the status in the metadata: do not repeat this call.",
    )
    .with("status", wire::FollowUpStatus::from(status).as_str_name())
}

/// The subject of a violated precondition.
fn subject(follow_up_id: &FollowUpId) -> String {
    format!("teppan/follow_up/{follow_up_id}")
}
