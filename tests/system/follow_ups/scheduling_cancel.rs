use teppan_shared::contract::conversation::v1::{
    CancelFollowUpRequest, CancelFollowUpResponse, FollowUp, FollowUpStatus, ScheduleFollowUpRequest,
};
use teppan_tests::{fixtures, harness::Conversation};

use super::scheduling::{again, cancel_by_key, claim, request, schedule, scheduled, written};

async fn cancel(service: &Conversation, request: &CancelFollowUpRequest) -> CancelFollowUpResponse {
    service.follow_ups.clone().cancel_follow_up(request.clone()).await.expect("answered").into_inner()
}

fn status(response: &CancelFollowUpResponse) -> FollowUpStatus {
    response.follow_up.as_ref().map_or(FollowUpStatus::Unspecified, FollowUp::status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_is_cancelled_by_its_id_once_and_stays_cancelled() {
    let service = Conversation::start().await.ready().await;
    let made = scheduled(&service, request(&fixtures::conversation_id())).await;
    let by_id = CancelFollowUpRequest { follow_up_id: made.follow_up_id.clone(), ..Default::default() };
    let done = cancel(&service, &by_id).await;
    assert_eq!((status(&done), done.cancelled), (FollowUpStatus::Cancelled, true));
    let follow_up = done.follow_up.clone().expect("the follow-up");
    assert!(follow_up.finished_at.is_some() && follow_up.next_attempt_at.is_none());
    let before = written(&service).await;
    assert_eq!(cancel(&service, &by_id).await, done);
    assert_eq!(written(&service).await, before);
    // A call with another key is not a repetition: it finds the follow-up cancelled.
    let keyed = CancelFollowUpRequest { idempotency_key: "another".to_owned(), ..by_id };
    let unchanged = cancel(&service, &keyed).await;
    assert_eq!((unchanged.follow_up.as_ref(), unchanged.cancelled), (Some(&follow_up), false));
    assert_eq!(cancel(&service, &keyed).await, unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_cancellation_does_not_cancel_a_follow_up_that_was_scheduled_later() {
    let service = Conversation::start().await.ready().await;
    let original = request(&fixtures::conversation_id());
    let (nothing, something) = (cancel_by_key(&original), cancel_by_key(&original));
    let none = cancel(&service, &nothing).await;
    assert_eq!(none, CancelFollowUpResponse::default(), "there is no follow-up to cancel");

    let made = scheduled(&service, original.clone()).await;
    assert_eq!(cancel(&service, &nothing).await, none, "there was no follow-up to cancel");
    let done = cancel(&service, &something).await;
    assert_eq!((status(&done), done.cancelled), (FollowUpStatus::Cancelled, true));
    assert_eq!(done.follow_up.as_ref().map(|it| &it.follow_up_id), Some(&made.follow_up_id));

    let next = scheduled(&service, again(&original)).await;
    assert_eq!(cancel(&service, &something).await, done);
    let without = CancelFollowUpRequest { idempotency_key: String::new(), ..something };
    let done = cancel(&service, &without).await;
    assert_eq!(done.follow_up.as_ref().map(|it| &it.follow_up_id), Some(&next.follow_up_id));
    assert_eq!(
        cancel(&service, &without).await,
        CancelFollowUpResponse::default(),
        "a call without a key is not remembered"
    );
    // Repeating the call that scheduled it does not schedule it again.
    let replay = schedule(&service, original).await;
    assert_eq!((replay.replayed, replay.follow_up.expect("the follow-up").status()), (true, FollowUpStatus::Cancelled));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_follow_up_ends_its_claim() {
    let service = Conversation::start().await.ready().await;
    let original = ScheduleFollowUpRequest { content: "Hello".to_owned(), ..request(&fixtures::conversation_id()) };
    let made = scheduled(&service, original.clone()).await;
    claim(&service, &made.follow_up_id, 600).await;
    let done = cancel(&service, &cancel_by_key(&original)).await;
    assert_eq!((status(&done), done.cancelled), (FollowUpStatus::Cancelled, true));
    assert_eq!(done.follow_up.expect("the follow-up").lease_expires_at, None);
    let lost = "SELECT claim_token IS NULL AND claim_key IS NULL AND lease_expires_at IS NULL FROM follow_ups";
    assert!(service.scalar::<bool>(lost).await);
}
