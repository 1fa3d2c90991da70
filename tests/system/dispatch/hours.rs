//! No follow-up is sent outside sending hours.

use sqlx::AssertSqlSafe;
use teppan_shared::contract::conversation::v1::FailFollowUpRequest;
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};

use super::fixture::*;

const MORNING: &str = "SELECT count(*) = 1 FROM follow_ups
                       WHERE status = 'PENDING' AND next_attempt_at > now() + interval '4 hours'
                         AND (next_attempt_at AT TIME ZONE time_zone)::time = '09:00'";

/// Moves all follow-ups to a time zone in which it is night.
async fn make_it_night(service: &Conversation) {
    let zone = zone_at(3);
    harness::execute(&service.url, AssertSqlSafe(format!("UPDATE follow_ups SET time_zone = '{zone}'"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_is_overdue_at_night_is_made_ready_in_the_morning() {
    let service = start_with_sending_hours().await;
    let chat = fixtures::conversation_id();
    let overdue = |hour| Scheduled { time_zone: zone_at(hour), ..custom(&chat, "Hello") };
    let (at_night, by_day) = (overdue(3), overdue(15));
    schedule(&service, &[at_night, Scheduled { trigger: "POST_EVENT", ..overdue(3) }]).await;
    until(&service, "SELECT bool_and(next_attempt_at > now() + interval '4 hours') FROM follow_ups").await;
    schedule(&service, std::slice::from_ref(&by_day)).await;
    assert_eq!(id_of(&claim_one(&service.follow_ups).await), by_day.id.to_string());
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM follow_ups WHERE ready_at IS NULL").await, 2);

    // Make it day for the two that wait.
    let zone = zone_at(15);
    let morning =
        format!("UPDATE follow_ups SET next_attempt_at = due_at, time_zone = '{zone}' WHERE ready_at IS NULL");
    harness::execute(&service.url, AssertSqlSafe(morning)).await;
    until(&service, "SELECT count(*) = 3 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    assert_eq!(claim(&service.follow_ups, at_once()).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_follow_up_that_was_not_claimed_by_day_waits_for_the_morning() {
    let service = start_with_sending_hours().await;
    let new = Scheduled { time_zone: zone_at(15), ..due(&fixtures::conversation_id()) };
    schedule(&service, &[new]).await;
    until(&service, "SELECT ready_at IS NOT NULL FROM follow_ups").await;
    make_it_night(&service).await;
    assert!(claim(&service.follow_ups, at_once()).await.is_empty());
    assert!(service.scalar::<bool>(MORNING).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_fails_or_whose_lease_expires_at_night_waits_for_the_morning() {
    let service = start_with_sending_hours().await;
    for fails in [true, false] {
        let new = Scheduled { time_zone: zone_at(15), ..due(&fixtures::conversation_id()) };
        schedule(&service, &[new]).await;
        let claimed = claim_one(&service.follow_ups).await;
        make_it_night(&service).await;
        if fails {
            let failed = FailFollowUpRequest { retry_after_seconds: Some(0), ..failure(&claimed) };
            service.follow_ups.clone().fail_follow_up(failed).await.expect("failed");
        } else {
            harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now()").await;
        }
        until(&service, "SELECT status = 'PENDING' AND next_attempt_at <= now() FROM follow_ups").await;
        assert!(claim(&service.follow_ups, at_once()).await.is_empty());
        assert!(service.scalar::<bool>(MORNING).await);
        harness::execute(&service.url, "DELETE FROM follow_ups").await;
    }
}
