//! Claims that wait for a follow-up to fall due.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use conversation_service::settings::DispatchSettings;
use teppan_shared::{contract::conversation::v1::ClaimDueFollowUpsRequest, keys::Keys};
use teppan_tests::{
    clients, fixtures, harness,
    raw_client::{self, RawClient},
};
use tokio::time::timeout;
use tonic::Code;

use super::fixture::*;

const CLAIM: &str = "/teppan.conversation.v1.FollowUpService/ClaimDueFollowUps";

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_claim_returns_when_a_follow_up_falls_due() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let soon = Scheduled { due_at: Utc::now() + TimeDelta::milliseconds(700), ..due(&chat) };
    schedule(&service, std::slice::from_ref(&soon)).await;
    let claimed = claim_one(&service.follow_ups).await;
    assert!(Utc::now() >= soon.due_at, "the claim ends only when the follow-up is due");
    assert_eq!(id_of(&claimed), soon.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_claim_returns_a_follow_up_that_another_replica_made_ready() {
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
async fn a_waiting_claim_ends_at_its_deadline_and_holds_no_connection() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let service = over(url, Keys::random(), quick(), |common| {
        common.server.request_timeout = Duration::from_secs(6);
        common.database_limits.max_connections = 2;
    })
    .await;
    let since = Instant::now();
    let long = ClaimDueFollowUpsRequest { wait_seconds: 60, ..at_once() };
    // Sixteen calls end at the server's limit, one at the client's deadline.
    let capped = futures::future::join_all((0..16).map(|_| claim(&service.follow_ups, long.clone())));
    let mut with_deadline = tonic::Request::new(long.clone());
    with_deadline.set_timeout(Duration::from_secs(4));
    let mut client = service.follow_ups.clone();
    let with_deadline = async {
        let answer = client.claim_due_follow_ups(with_deadline).await.expect("in time").into_inner();
        assert!(answer.follow_ups.is_empty());
        // Waiting calls hold no connection, so other calls can use the two.
        let mut client = service.client.clone();
        for _ in 0..20 {
            client.store_message(fixtures::message(&fixtures::conversation_id(), "Hello")).await.expect("stored");
        }
    };
    let (capped, ()) = tokio::join!(capped, with_deadline);
    assert!(capped.iter().all(Vec::is_empty));
    assert!(since.elapsed() > Duration::from_secs(4), "the calls wait as long as they may");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_claim_ends_when_the_server_drains() {
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

#[tokio::test(flavor = "multi_thread")]
async fn waiting_calls_of_one_client_claim_only_their_share_when_they_wake_up_together() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let service = over(url, Keys::random(), quick(), |common| common.server.max_in_flight = 4).await;
    // This client reads no answers, so its calls keep their permits.
    let mut greedy = RawClient::with_window(service.service.server.grpc_addr, 16).await.expect("connected");
    let mut answers = Vec::new();
    while answers.len() < 4 {
        let request = ClaimDueFollowUpsRequest { batch_size: 1, wait_seconds: 25, ..at_once() };
        let mut answer = greedy.call(CLAIM, &request).await.expect("sent");
        // The call is refused if the calls before it do not wait yet.
        match timeout(Duration::from_millis(200), &mut answer).await {
            Err(_) => answers.push(answer),
            Ok(refused) => {
                let status = raw_client::status_of(refused.expect("an answer")).await.expect("a status");
                assert_eq!(status.code(), Code::ResourceExhausted);
            }
        }
    }
    let due: Vec<_> = (0..4).map(|_| due(&fixtures::conversation_id())).collect();
    schedule(&service, &due).await;
    let claimed = "SELECT count(*) FROM follow_ups WHERE status = 'CLAIMED'";
    harness::eventually("the greedy client has claimed its share", async || service.scalar::<i64>(claimed).await == 2)
        .await;
    let mut other = clients::conversations(service.service.server.grpc_addr);
    for _ in 0..20 {
        other.store_message(fixtures::message(&fixtures::conversation_id(), "Hello")).await.expect("stored");
    }
    assert_eq!(service.scalar::<i64>(claimed).await, 2);
    // Another client's calls claim the rest.
    let mut others = clients::follow_ups(service.service.server.grpc_addr);
    let rest = ClaimDueFollowUpsRequest { batch_size: 10, ..at_once() };
    assert_eq!(others.claim_due_follow_ups(rest).await.expect("claimed").into_inner().follow_ups.len(), 2);
}
