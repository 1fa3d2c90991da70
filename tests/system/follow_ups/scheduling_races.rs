use futures::future::join_all;
use rand::Rng as _;
use teppan_shared::contract::conversation::v1::{
    CancelFollowUpRequest, FollowUpStatus, ScheduleFollowUpOutcome, ScheduleFollowUpRequest, ScheduleFollowUpResponse,
};
use teppan_tests::{fixtures, harness::Conversation};
use tonic_types::StatusExt as _;

use super::scheduling::{again, cancel_by_key, moving, request, schedule};

async fn two_replicas() -> [Conversation; 2] {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    [first, second]
}

/// Makes all calls concurrently, alternating between two replicas.
async fn at_once(
    replicas: &[Conversation; 2],
    requests: impl IntoIterator<Item = ScheduleFollowUpRequest>,
) -> Vec<ScheduleFollowUpResponse> {
    join_all(requests.into_iter().enumerate().map(|(n, request)| schedule(&replicas[n % 2], request))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_with_one_key_make_one_follow_up_and_get_equal_replies() {
    let replicas = two_replicas().await;
    for round in 0_i64..8 {
        let request = ScheduleFollowUpRequest {
            move_existing: round % 2 == 0,
            content: if round % 4 < 2 { String::new() } else { "Hello".to_owned() },
            ..request(&fixtures::conversation_id())
        };
        let replies = at_once(&replicas, vec![request; 32]).await;
        assert_eq!(replies.iter().filter(|reply| !reply.replayed).count(), 1);
        assert!(replies.iter().all(|reply| reply.follow_up == replies[0].follow_up));
        assert!(replies.iter().all(|reply| reply.outcome() == ScheduleFollowUpOutcome::Created));
        assert_eq!(replicas[0].scalar::<i64>("SELECT count(*) FROM follow_ups").await, round + 1);
        assert_eq!(replicas[0].scalar::<i64>("SELECT count(*) FROM idempotency_keys").await, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_with_one_key_move_a_follow_up_once() {
    let replicas = two_replicas().await;
    for content in ["", "Hello"] {
        let original = request(&fixtures::conversation_id());
        schedule(&replicas[0], original.clone()).await;
        let move_to =
            ScheduleFollowUpRequest { content: content.to_owned(), ..moving(&original, "2030-02-01T12:00:00Z") };
        let replies = at_once(&replicas, vec![move_to; 32]).await;
        assert_eq!(replies.iter().filter(|reply| !reply.replayed).count(), 1);
        assert!(replies.iter().all(|reply| reply.follow_up == replies[0].follow_up));
        assert!(replies.iter().all(|reply| reply.outcome() == ScheduleFollowUpOutcome::Moved));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_with_different_keys_make_one_follow_up() {
    let replicas = two_replicas().await;
    for round in 0_i64..8 {
        let original = request(&fixtures::conversation_id());
        let replies = at_once(&replicas, (0..32).map(|_| again(&original))).await;
        let created = |reply: &&ScheduleFollowUpResponse| reply.outcome() == ScheduleFollowUpOutcome::Created;
        assert_eq!(replies.iter().filter(created).count(), 1);
        assert!(replies.iter().all(|reply| !reply.replayed && reply.follow_up == replies[0].follow_up));
        assert_eq!(replicas[0].scalar::<i64>("SELECT count(*) FROM follow_ups").await, round + 1);
        assert_eq!(replicas[0].scalar::<i64>("SELECT count(*) FROM idempotency_keys").await, 32 * (round + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_cancellations_cancel_a_follow_up_once() {
    let [first, second] = two_replicas().await;
    let original = request(&fixtures::conversation_id());
    for same_key in [true, false] {
        schedule(&first, again(&original)).await;
        let cancel = cancel_by_key(&original);
        let replies = join_all((0..32).map(|n| {
            let mut client = if n % 2 == 0 { first.follow_ups.clone() } else { second.follow_ups.clone() };
            let request = if same_key { cancel.clone() } else { cancel_by_key(&original) };
            async move { client.cancel_follow_up(request).await.expect("answered").into_inner() }
        }))
        .await;
        let cancelled = replies.iter().filter(|reply| reply.cancelled).count();
        assert_eq!(cancelled, if same_key { 32 } else { 1 });
        assert!(!same_key || replies.iter().all(|reply| *reply == replies[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_leave_at_most_one_unfinished_follow_up_and_no_deadlock() {
    let replicas = two_replicas().await;
    let originals: Vec<_> = (0..3).map(|_| request(&fixtures::conversation_id())).collect();
    let clients = (0..32).map(|n: usize| {
        let mut client = replicas[n % 2].follow_ups.clone();
        let originals = &originals;
        async move {
            for step in 0..20 {
                let original = &originals[(n + step) % originals.len()];
                let choice = rand::rng().random_range(0..6);
                let failed = match choice {
                    0 | 1 => client.schedule_follow_up(again(original)).await.err(),
                    2 | 3 => {
                        let content = if choice == 2 { String::new() } else { format!("text {n} {step}") };
                        let request = ScheduleFollowUpRequest { content, ..moving(original, "2030-03-01T12:00:00Z") };
                        client.schedule_follow_up(request).await.err()
                    }
                    4 => client.cancel_follow_up(cancel_by_key(original)).await.err(),
                    _ => {
                        let found = client.schedule_follow_up(again(original)).await.expect("answered").into_inner();
                        let follow_up_id = found.follow_up.expect("a follow-up").follow_up_id;
                        let cancel = CancelFollowUpRequest { follow_up_id, ..Default::default() };
                        client.cancel_follow_up(cancel).await.err()
                    }
                };
                // No call may fail, not even with OVERLOADED because of constant conflicts.
                let reason = failed.map(|status| status.get_details_error_info().map(|info| info.reason));
                assert_eq!(reason, None, "choice {choice}");
            }
        }
    });
    join_all(clients).await;
    let service = &replicas[0];
    let most = "SELECT COALESCE(max(count), 0) FROM (
                    SELECT count(*) FROM follow_ups WHERE finished_at IS NULL GROUP BY conversation_id, trigger, subject
                ) AS unfinished";
    assert!(service.scalar::<i64>(most).await <= 1);
    // Every key leads to an existing follow-up, and each follow-up was made under one key.
    let orphans = "SELECT count(*) FROM idempotency_keys k LEFT JOIN follow_ups f USING (follow_up_id)
                   WHERE k.follow_up_id IS NOT NULL AND f.follow_up_id IS NULL";
    assert_eq!(service.scalar::<i64>(orphans).await, 0);
    let made = "SELECT (SELECT count(*) FROM follow_ups) - count(*) FROM idempotency_keys WHERE outcome = 'CREATED'";
    assert_eq!(service.scalar::<i64>(made).await, 0);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(service.scalar::<i64>(deadlocks).await, 0);
    for original in &originals {
        let last = schedule(service, again(original)).await.follow_up.expect("a follow-up");
        assert_eq!(last.status(), FollowUpStatus::Pending, "the follow-up can be read and sent");
    }
}
