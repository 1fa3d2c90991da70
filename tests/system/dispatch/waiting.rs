//! Claims that wait.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use conversation_service::settings::DispatchSettings;
use teppan_shared::{contract::conversation::v1::ClaimDueFollowUpsRequest, keys::Keys};
use teppan_tests::{fixtures, harness};

use super::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_wakes_up_when_something_falls_due() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let soon = Scheduled { due_at: Utc::now() + TimeDelta::milliseconds(700), ..due(&chat) };
    schedule(&service, std::slice::from_ref(&soon)).await;
    let claimed = claim_one(&service.follow_ups).await;
    assert!(Utc::now() >= soon.due_at, "not before");
    assert_eq!(id_of(&claimed), soon.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_finds_what_another_replica_made_ready() {
    let rarely = DispatchSettings { clock_interval: Duration::from_hours(1), ..quick() };
    let service = start_with(rarely).await;
    let other = replica(&service).await;
    let waiting = claim(&service.follow_ups, waiting());
    let schedule = async {
        let new = due(&fixtures::conversation_id());
        schedule(&other, &[new]).await;
    };
    let (claimed, ()) = tokio::join!(waiting, schedule);
    assert_eq!(claimed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_bounded_by_the_call_and_holds_no_connection() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let service = over(url, Keys::random(), quick(), |common| {
        common.server.request_timeout = Duration::from_secs(6);
        common.database_limits.max_connections = 2;
    })
    .await;
    let since = Instant::now();
    let long = ClaimDueFollowUpsRequest { wait_seconds: 60, ..at_once() };
    // By the cap of the server, and by the client's own deadline.
    let capped = futures::future::join_all((0..16).map(|_| claim(&service.follow_ups, long.clone())));
    let mut hurried = tonic::Request::new(long.clone());
    hurried.set_timeout(Duration::from_secs(4));
    let mut client = service.follow_ups.clone();
    let hurried = async {
        let answer = client.claim_due_follow_ups(hurried).await.expect("in time").into_inner();
        assert!(answer.follow_ups.is_empty());
        // Meanwhile others use the two connections.
        let mut client = service.client.clone();
        for _ in 0..20 {
            client.store_message(fixtures::message(&fixtures::conversation_id(), "Hello")).await.expect("stored");
        }
    };
    let (capped, ()) = tokio::join!(capped, hurried);
    assert!(capped.iter().all(Vec::is_empty));
    assert!(since.elapsed() > Duration::from_secs(4), "it waits as long as it may");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_ends_when_the_server_drains() {
    let service = start().await;
    let client = service.follow_ups.clone();
    let since = Instant::now();
    let waiting = claim(&client, ClaimDueFollowUpsRequest { wait_seconds: 60, ..at_once() });
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.service.stop().await;
    };
    let (claimed, ()) = tokio::join!(waiting, stop);
    assert!(claimed.is_empty());
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}
