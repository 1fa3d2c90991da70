//! Claims of due follow-ups.

use futures::future::join_all;
use teppan_shared::contract::conversation::v1::{Channel, FollowUpFailureReason, FollowUpStatus};
use teppan_tests::{fixtures, proxy::Proxy};

use super::fixture::*;
use teppan_shared::{contract::conversation::v1::ClaimDueFollowUpsRequest, keys::Keys};
use teppan_tests::harness;

fn keyed(key: &str) -> ClaimDueFollowUpsRequest {
    ClaimDueFollowUpsRequest { idempotency_key: key.to_owned(), batch_size: 3, ..waiting() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_returns_all_that_a_sender_needs() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let new = Scheduled { user_id: Some("mina".to_owned()), ..custom(&chat, "How was it?") };
    schedule(&service, std::slice::from_ref(&new)).await;
    let claimed = claim_one(&service.follow_ups).await;
    assert_eq!((claimed.user_id.as_str(), claimed.channel()), ("mina", Channel::Web));
    assert_eq!(claimed.message_id, new.message_id.to_string());
    let follow_up = claimed.follow_up.expect("the follow-up");
    assert_eq!((follow_up.content.as_str(), follow_up.attempts), ("How was it?", 1));
    assert_eq!(follow_up.status(), FollowUpStatus::Claimed);
    assert!(follow_up.lease_expires_at.is_some() && follow_up.message_id.is_empty());
    assert!(claim(&service.follow_ups, at_once()).await.is_empty(), "no other call claims it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_returns_the_longest_due_follow_ups_of_the_requested_channels() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let channels = ["WEB", "SMS", "EMAIL", "SMS"];
    let mut follow_ups: Vec<_> = channels.into_iter().map(|channel| Scheduled { channel, ..due(&chat) }).collect();
    for (follow_up, minutes) in follow_ups.iter_mut().zip([4, 3, 2, 1]) {
        follow_up.due_at -= chrono::TimeDelta::minutes(minutes);
    }
    schedule(&service, &follow_ups).await;
    until(&service, "SELECT count(*) = 4 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    let id = |n: usize| follow_ups[n].id.to_string();
    let sms = ClaimDueFollowUpsRequest { channels: vec![Channel::Sms.into()], batch_size: 1, ..at_once() };
    let claimed = claim(&service.follow_ups, sms).await;
    assert_eq!(claimed.iter().map(id_of).collect::<Vec<_>>(), [id(1)]);
    let claimed = claim(&service.follow_ups, ClaimDueFollowUpsRequest { batch_size: 2, ..at_once() }).await;
    assert_eq!(claimed.iter().map(id_of).collect::<Vec<_>>(), [id(0), id(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_with_the_same_key_returns_the_lost_reply() {
    let service = start().await;
    let other = replica(&service).await;
    let chat = fixtures::conversation_id();
    let follow_ups: Vec<_> = (0..12).map(|_| due(&chat)).collect();
    schedule(&service, &follow_ups).await;
    until(&service, "SELECT count(*) = 12 FROM follow_ups WHERE ready_at IS NOT NULL").await;

    // Concurrent duplicates get the same reply.
    let duplicates = join_all((0..8).map(|n| {
        let client = if n % 2 == 0 { &service.follow_ups } else { &other.follow_ups };
        claim(client, keyed("a"))
    }))
    .await;
    let tokens = |claimed: &[_]| {
        let mut tokens: Vec<_> = claimed
            .iter()
            .map(|it: &teppan_shared::contract::conversation::v1::ClaimedFollowUp| it.claim_token.clone())
            .collect();
        tokens.sort();
        tokens
    };
    assert!(duplicates.iter().all(|claim| claim.len() == 3 && tokens(claim) == tokens(&duplicates[0])));
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM follow_ups WHERE status = 'CLAIMED'").await, 3);

    let other_request = ClaimDueFollowUpsRequest { lease_seconds: 7, ..keyed("a") };
    let refused = service.follow_ups.clone().claim_due_follow_ups(other_request).await;
    assert_eq!(reason(refused).0, "IDEMPOTENCY_KEY_REUSED");
    assert_ne!(tokens(&claim(&service.follow_ups, keyed("b")).await), tokens(&duplicates[0]));

    // Once the leases have expired, the same key claims again.
    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now() WHERE claim_key = 'a'").await;
    let again = claim(&service.follow_ups, keyed("a")).await;
    assert!(again.len() == 3 && tokens(&again) != tokens(&duplicates[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_with_an_expired_lease_are_claimed_again_until_their_attempts_are_used_up() {
    let service = start().await;
    let new = Scheduled { max_attempts: 2, ..due(&fixtures::conversation_id()) };
    schedule(&service, &[new]).await;
    let first = claim_one(&service.follow_ups).await;
    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now()").await;
    let second = claim_one(&service.follow_ups).await;
    let follow_up = second.follow_up.as_ref().expect("the follow-up");
    assert_eq!((follow_up.attempts, follow_up.last_failure_reason()), (2, FollowUpFailureReason::LeaseExpired));
    assert_eq!(first.message_id, second.message_id, "the channel can drop a second delivery of one message id");
    assert_ne!(first.claim_token, second.claim_token);

    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now()").await;
    until(&service, "SELECT status = 'FAILED' AND finished_at IS NOT NULL FROM follow_ups").await;
    let other = service.follow_ups.clone().complete_follow_up(completion(&first)).await;
    assert_eq!(reason(other), ("FOLLOW_UP_FINISHED".to_owned(), "FOLLOW_UP_STATUS_FAILED".to_owned()));
    let late = service.follow_ups.clone().complete_follow_up(completion(&second)).await.expect("it was sent");
    let late = late.into_inner();
    assert_eq!(late.follow_up.expect("the follow-up").status(), FollowUpStatus::Completed);
    assert!(!late.replayed && late.message.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_of_an_escalated_conversation_do_not_hold_up_the_others() {
    let mut service = start().await;
    let (escalated, open) = (fixtures::conversation_id(), fixtures::conversation_id());
    for chat in [&escalated, &open] {
        service.client.store_message(fixtures::message(chat, "Hello")).await.expect("stored");
    }
    harness::execute(
        &service.url,
        sqlx::AssertSqlSafe(format!(
            "UPDATE conversations SET status = 'ESCALATED' WHERE conversation_id = '{escalated}'"
        )),
    )
    .await;
    // More than fit into a batch, and due before the others. They were ready before the escalation.
    let mut held_back: Vec<_> = (0..150).map(|_| due(&escalated)).collect();
    for follow_up in &mut held_back {
        follow_up.due_at -= chrono::TimeDelta::hours(1);
    }
    schedule(&service, &held_back).await;
    until(&service, "SELECT count(*) = 150 FROM follow_ups WHERE next_attempt_at > due_at").await;
    let ready = "UPDATE follow_ups SET ready_at = due_at, next_attempt_at = due_at, content_sealed = ''";
    harness::execute(&service.url, ready).await;

    schedule(&service, &[due(&open), custom(&open, "How was your evening?")]).await;
    until(&service, "SELECT count(*) = 152 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    let small = ClaimDueFollowUpsRequest { batch_size: 2, ..at_once() };
    let claimed = claim(&service.follow_ups, small).await;
    assert_eq!(claimed.len(), 2, "one call skips all that are held back and reaches both");

    let reopen = "UPDATE conversations SET status = 'OPEN'; UPDATE follow_ups SET next_attempt_at = due_at, \
                      ready_at = NULL, content_sealed = NULL WHERE status = 'PENDING'";
    harness::execute(&service.url, reopen).await;
    until(&service, "SELECT count(*) = 150 FROM follow_ups WHERE ready_at IS NOT NULL AND status = 'PENDING'").await;
    assert_eq!(claim(&service.follow_ups, at_once()).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_follow_up_does_not_block_the_others() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let unreadable = [custom(&chat, "x"), Scheduled { metadata: vec![("a", "b")], ..due(&chat) }];
    schedule(&service, &unreadable).await;
    harness::execute(
        &service.url,
        "UPDATE follow_ups SET content_sealed = 'x' WHERE trigger = 'CUSTOM';
        UPDATE follow_ups SET ready_at = NULL, content_sealed = NULL, metadata_sealed = 'x' WHERE trigger <> 'CUSTOM'",
    )
    .await;
    let readable = due(&chat);
    schedule(&service, std::slice::from_ref(&readable)).await;
    until(&service, "SELECT count(*) >= 2 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    let mut claimed = Vec::new();
    harness::eventually("the readable one is claimed", async || {
        claimed.extend(claim(&service.follow_ups, at_once()).await.iter().map(id_of));
        claimed.contains(&readable.id.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_completion_cost_one_round_trip_each() {
    let (proxy, url) = harness::proxied(&conversation_service::app::DEFINITION).await;
    let rarely = std::time::Duration::from_hours(1);
    let dispatch = conversation_service::settings::DispatchSettings {
        clock_interval: rarely,
        reengagement_interval: rarely,
        ..quick()
    };
    let service = over(url, Keys::random(), dispatch, |_| {}).await;
    let chat = fixtures::conversation_id();
    let follow_ups: Vec<_> = (0..16).map(|_| custom(&chat, "Hello")).collect();
    schedule(&service, &follow_ups).await;
    harness::execute(&service.url, "UPDATE follow_ups SET ready_at = now()").await;
    let one = || ClaimDueFollowUpsRequest { batch_size: 1, ..at_once() };
    let mut counts = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..16 {
        let (took, claimed) = counted(&proxy, claim(&service.follow_ups, one())).await;
        counts[0].push(took);
        let request = completion(&claimed[0]);
        for (n, replayed) in [(1, false), (2, true)] {
            let mut client = service.follow_ups.clone();
            let (took, answer) = counted(&proxy, client.complete_follow_up(request.clone())).await;
            assert_eq!(answer.expect("completed").into_inner().replayed, replayed);
            counts[n].push(took);
        }
    }
    // The first calls prepare the statements. Readiness and the workers also cause a round trip now and then.
    for counts in counts {
        assert!(counts[2..].iter().filter(|count| **count > 1).count() <= 4, "{counts:?}");
    }
}

async fn counted<T>(proxy: &Proxy, call: impl Future<Output = T>) -> (u64, T) {
    let before = proxy.round_trips();
    let answer = call.await;
    (proxy.round_trips() - before, answer)
}
