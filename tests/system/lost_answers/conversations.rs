use teppan_shared::{
    contract::conversation::v1::{
        CancelFollowUpRequest, ClaimDueFollowUpsRequest, FollowUpStatus, ScheduleFollowUpOutcome,
    },
    keys::Keys,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
    proxy::Proxy,
};
use uuid::Uuid;

use super::with_lost_answer;
use crate::{
    dispatch::fixture::{self, claim_one, completion, due, failure, waiting},
    follow_ups,
};

/// Starts a service behind a proxy, with its follow-up clock.
async fn service() -> (Proxy, Conversation) {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let through = harness::through(&url, proxy.address);
    let mut service = fixture::over(through, Keys::random(), fixture::quick(), |_| {}).await;
    service.url = url;
    (proxy, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_commit_answer_is_lost_is_stored_once_and_not_reported_as_replayed() {
    let (proxy, service) = service().await;
    let mut client = service.client.clone();
    let chat = fixtures::conversation_id();
    for sequence in 1..=3 {
        let message = fixtures::message(&chat, "Is there a table?");
        let stored =
            with_lost_answer(&proxy, "-- StoreMessage:", client.store_message(message.clone())).await.into_inner();
        assert!(!stored.replayed);
        assert_eq!(stored.message.as_ref().expect("the message").sequence, sequence);
        let again = client.store_message(message).await.expect("replayed").into_inner();
        assert_eq!((again.replayed, again.message), (true, stored.message));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduling_moving_and_cancelling_a_follow_up_happen_once_when_commit_answers_are_lost() {
    let (proxy, service) = service().await;
    let mut client = service.follow_ups.clone();
    let request = follow_ups::request(&fixtures::conversation_id());
    let moving = follow_ups::moving(&request, "2030-02-01T12:00:00Z");
    let schedule = "-- ScheduleFollowUp:";
    for (request, outcome) in [
        (request.clone(), ScheduleFollowUpOutcome::Created),
        (follow_ups::again(&request), ScheduleFollowUpOutcome::Existing),
        (moving, ScheduleFollowUpOutcome::Moved),
    ] {
        let scheduled =
            with_lost_answer(&proxy, schedule, client.schedule_follow_up(request.clone())).await.into_inner();
        assert_eq!((scheduled.outcome(), scheduled.replayed), (outcome, false));
        let again = client.schedule_follow_up(request).await.expect("replayed").into_inner();
        assert_eq!((again.outcome(), again.replayed), (outcome, true));
    }
    for idempotency_key in [String::new(), Uuid::now_v7().to_string()] {
        let again = follow_ups::again(&request);
        client.schedule_follow_up(again).await.expect("scheduled");
        let cancel =
            CancelFollowUpRequest { idempotency_key, key: Some(follow_ups::key(&request)), ..Default::default() };
        let cancelled =
            with_lost_answer(&proxy, "-- CancelFollowUp:", client.cancel_follow_up(cancel)).await.into_inner();
        assert!(cancelled.cancelled);
        assert_eq!(cancelled.follow_up.expect("the follow-up").status(), FollowUpStatus::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_and_reports_of_a_follow_up_count_once_when_commit_answers_are_lost() {
    let (proxy, service) = service().await;
    let mut client = service.follow_ups.clone();
    let chat = fixtures::conversation_id();
    client_says_hello(&service, &chat).await;
    fixture::schedule(&service, &[due(&chat)]).await;
    fixture::until(&service, "SELECT EXISTS (SELECT FROM follow_ups WHERE ready_at IS NOT NULL)").await;
    let claim = ClaimDueFollowUpsRequest { idempotency_key: Uuid::now_v7().to_string(), ..waiting() };
    let claimed =
        with_lost_answer(&proxy, "-- ClaimDueFollowUps:", client.claim_due_follow_ups(claim)).await.into_inner();
    assert_eq!(claimed.follow_ups.len(), 1, "the repeated claim has the same key and returns the same follow-up");
    let failed =
        with_lost_answer(&proxy, "-- FailFollowUp:", client.fail_follow_up(failure(&claimed.follow_ups[0]))).await;
    assert_eq!(failed.into_inner().follow_up.expect("the follow-up").attempts, 1);
    let claimed = claim_one(&client).await;
    let sent = client.complete_follow_up(completion(&claimed));
    let sent = with_lost_answer(&proxy, "-- CompleteFollowUp:", sent).await.into_inner();
    assert!(!sent.replayed);
    let again = client.complete_follow_up(completion(&claimed)).await.expect("replayed").into_inner();
    assert_eq!((again.replayed, again.message), (true, sent.message));
}

async fn client_says_hello(service: &Conversation, chat: &str) {
    service.client.clone().store_message(fixtures::message(chat, "Hello")).await.expect("stored");
}
