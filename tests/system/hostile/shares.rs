//! Each connection has a share of every limit, so one client cannot exclude the others.

use std::time::Duration;

use prost::Message as _;
use teppan_shared::contract::{booking::v1::StreamBookingEventsRequest, conversation::v1::ClaimDueFollowUpsRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
    raw_client::RawClient,
};
use tokio::task::JoinSet;
use tonic::Code;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_message_time_out_and_do_not_block_other_clients() {
    let service = conversation(|settings| {
        settings.server.max_in_flight = 100;
        settings.server.limits.arrival_timeout = Duration::from_secs(2);
    })
    .await;
    // More calls than permits, over several connections.
    let (mut clients, mut begun) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut client = connect(&service).await;
        for _ in 0..50 {
            begun.push(client.begin(STORE_MESSAGE).await.expect("begun"));
        }
        clients.push(client);
    }
    for _ in 0..20 {
        store_elsewhere(&service).await.expect("other clients are served");
    }
    for (answer, _body) in begun {
        let ended = outcome(answer).await;
        assert!(ended == (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_arrives_in_pieces_is_processed() {
    let service = conversation(|_| {}).await;
    let mut client = connect(&service).await;
    let (answer, mut body) = client.begin(STORE_MESSAGE).await.expect("begun");
    let whole = teppan_tests::raw_client::framed(&short_message());
    for piece in whole.chunks(7) {
        body.send_data(bytes::Bytes::copy_from_slice(piece), false).expect("sent");
        tokio::task::yield_now().await;
    }
    body.send_data(bytes::Bytes::new(), true).expect("the end");
    assert_eq!(outcome(answer).await.0, Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_gets_only_its_share_of_the_bytes_of_arriving_messages() {
    let service = conversation(|settings| settings.server.limits.max_arriving_bytes = 64 * 1024).await;
    let mut client = connect(&service).await;
    let large = fixtures::message(&fixtures::conversation_id(), &"word ".repeat(6 * 1024));
    let length = u32::try_from(large.encoded_len()).expect("small").to_be_bytes();
    let begin = async |client: &mut RawClient| {
        let (answer, mut body) = client.begin(STORE_MESSAGE).await.expect("begun");
        // The frame without its last byte.
        let frame = [&[0][..], &length, &large.encode_to_vec()[1..]].concat();
        body.send_data(frame.into(), false).expect("sent");
        (answer, body)
    };
    let first = begin(&mut client).await;
    let second = begin(&mut client).await;
    // The call that comes second is refused. The bodies are kept, because dropping one resets its call.
    let ((first, _body), (second, _other_body)) = (first, second);
    let (first, second) = (outcome(first), outcome(second));
    let ended = tokio::select! { ended = first => ended, ended = second => ended };
    assert_eq!(ended, overloaded());
    store_elsewhere(&service).await.expect("other connections have a share too");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_calls_use_no_permit_and_have_a_limit_of_their_own() {
    let service = conversation(|settings| {
        settings.server.max_in_flight = 1;
        settings.server.limits.max_waiting = 4;
    })
    .await;
    // The share of one connection is two waiting calls. Each call first queries the database, which needs the permit.
    let claim = || {
        let mut client = service.follow_ups.clone();
        async move {
            loop {
                let request = ClaimDueFollowUpsRequest {
                    claimant: "test".to_owned(),
                    batch_size: 1,
                    lease_seconds: 60,
                    wait_seconds: 25,
                    ..Default::default()
                };
                match client.claim_due_follow_ups(request).await {
                    Ok(_) => return None,
                    Err(status) if retry_delay(&status) < Duration::from_secs(2) => {}
                    Err(status) => return Some(status),
                }
            }
        }
    };
    let mut claims = JoinSet::new();
    for _ in 0..3 {
        claims.spawn(claim());
    }
    let refused = claims.join_next().await.expect("three").expect("no panic").expect("one may not wait");
    assert_eq!(kind(&refused), overloaded());
    // Two calls wait, and the only permit is free.
    harness::eventually("other calls are served", async || {
        service.client.clone().store_message(short_message()).await.is_ok()
    })
    .await;
    assert_eq!(claims.len(), 2);
    assert!(claims.try_join_next().is_none(), "they still wait");
}

fn retry_delay(status: &Status) -> Duration {
    assert_eq!(kind(status), overloaded());
    status.get_details_retry_info().and_then(|info| info.retry_delay).expect("a RetryInfo")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_gets_only_its_share_of_streams() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    settings.server.limits.max_streams = 4;
    let service = Booking::with(settings, url, keys).await.ready().await;
    let server = service.service.server.grpc_addr;
    let open = async |client: &mut RawClient| {
        let request = StreamBookingEventsRequest { follow: true, ..Default::default() };
        let method = "/teppan.booking.v1.BookingService/StreamBookingEvents";
        let answer = client.call(method, &request).await.expect("sent").await.expect("an answer");
        match Status::from_header_map(answer.headers()) {
            Some(status) => Err(kind(&status)),
            None => Ok(answer.into_body()),
        }
    };
    let mut greedy = RawClient::connect(server).await.expect("connected");
    let first = open(&mut greedy).await.expect("a stream");
    let _second = open(&mut greedy).await.expect("a stream");
    assert_eq!(open(&mut greedy).await.map(|_| ()), Err(overloaded()));
    let mut other = RawClient::connect(server).await.expect("connected");
    let _third = open(&mut other).await.expect("another connection's stream");
    drop(first);
    harness::eventually("the stream's permit is free again", async || open(&mut greedy).await.is_ok()).await;
}
