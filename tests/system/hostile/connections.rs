//! Connections that send nothing, connections that stay open for long, and too many connections.

use std::time::Duration;

use teppan_shared::contract::{booking::v1::StreamBookingEventsRequest, conversation::v1::ClaimDueFollowUpsRequest};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
    raw_client::RawClient,
    stripe::exchange,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CLAIM_DUE_FOLLOW_UPS: &str = "/teppan.conversation.v1.FollowUpService/ClaimDueFollowUps";
const TIMEOUT: Duration = Duration::from_mins(1);

/// Waits until the server closes the connection.
async fn until_closed(mut stream: TcpStream) {
    let reading = async { while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {} };
    tokio::time::timeout(TIMEOUT, reading).await.expect("the server closes the connection");
}

/// Stores a message over this connection. Returns whether it was stored.
async fn stores(client: &mut RawClient) -> bool {
    match client.call(STORE_MESSAGE, &short_message()).await {
        Ok(answer) => raw_client::status(answer).await.is_ok_and(|status| status.code() == Code::Ok),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_unless_it_sends_the_http2_preface_and_settings() {
    let service = conversation(|settings| settings.server.limits.handshake_timeout = Duration::from_millis(300)).await;
    let server = service.service.server.grpc_addr;
    let sends_nothing = TcpStream::connect(server).await.expect("connected");
    let mut half_preface = TcpStream::connect(server).await.expect("connected");
    half_preface.write_all(&PREFACE[..10]).await.expect("sent");
    let mut preface_only = TcpStream::connect(server).await.expect("connected");
    preface_only.write_all(PREFACE).await.expect("sent");
    let mut complete = connect(&service).await;
    tokio::join!(until_closed(sends_nothing), until_closed(half_preface), until_closed(preface_only));
    assert!(stores(&mut complete).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_pings_is_disconnected() {
    let service = conversation(|settings| {
        settings.server.limits.keepalive_interval = Duration::from_millis(200);
        settings.server.limits.keepalive_timeout = Duration::from_millis(200);
    })
    .await;
    let mut stream = TcpStream::connect(service.service.server.grpc_addr).await.expect("connected");
    stream.write_all(PREFACE).await.expect("sent");
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("empty SETTINGS");
    until_closed(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_calls_is_closed_with_goaway() {
    let service = conversation(|settings| {
        settings.server.limits.connection_idle = Duration::from_millis(500);
        settings.server.limits.write_timeout = Duration::from_millis(100);
    })
    .await;
    let mut client = connect(&service).await;
    assert!(stores(&mut client).await);
    let sent_goaway = tokio::time::timeout(TIMEOUT, client.ended()).await.expect("the connection ends");
    assert!(sent_goaway);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_connection_limit_an_idle_connection_is_closed_but_not_one_in_use() {
    let service = conversation(|settings| {
        settings.server.limits.max_connections = 2;
        // Calls that wait keep their connections in use for the whole test.
        settings.server.request_timeout = TIMEOUT;
    })
    .await;
    let (mut first, mut second) = (connect(&service).await, connect(&service).await);
    assert!(stores(&mut first).await);
    assert!(stores(&mut second).await);
    // A connection gives way to a new one once it has been idle for a second. Until then new ones are refused.
    let mut third = None;
    harness::eventually("a third connection is accepted", async || {
        let Ok(mut client) = RawClient::connect(service.service.server.grpc_addr).await else { return false };
        let served = stores(&mut client).await;
        third = Some(client);
        served
    })
    .await;
    harness::eventually("one was closed", async || first.has_ended() || second.has_ended()).await;

    // A waiting call on each connection keeps both in use.
    let mut in_use = connect_in_use(&service).await;
    let mut also_in_use = connect_in_use(&service).await;
    let refused = RawClient::connect(service.service.server.grpc_addr).await;
    if let Ok(mut refused) = refused {
        assert!(!stores(&mut refused).await, "there is no free connection");
    }
    assert!(stores(&mut in_use.0).await && stores(&mut also_in_use.0).await, "connections in use stay open");
}

/// Opens a connection on which a call waits.
async fn connect_in_use(service: &Conversation) -> (RawClient, impl Sized) {
    let mut in_use = None;
    harness::eventually("a connection with a call", async || {
        let Ok(mut client) = RawClient::connect(service.service.server.grpc_addr).await else { return false };
        let claim = ClaimDueFollowUpsRequest {
            claimant: "test".to_owned(),
            batch_size: 1,
            lease_seconds: 60,
            wait_seconds: 60,
            ..Default::default()
        };
        let Ok(call) = client.call(CLAIM_DUE_FOLLOW_UPS, &claim).await else { return false };
        let served = stores(&mut client).await;
        in_use = Some((client, call));
        served
    })
    .await;
    in_use.expect("the connection is open")
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_connection_limit_a_connection_whose_calls_send_no_message_is_closed() {
    let service = conversation(|settings| {
        settings.server.limits.max_connections = 4;
        settings.server.limits.arrival_timeout = TIMEOUT;
        settings.server.request_timeout = TIMEOUT;
    })
    .await;
    let mut attack = Vec::new();
    for _ in 0..4 {
        let mut client = connect(&service).await;
        let call = client.begin(STORE_MESSAGE).await.expect("begun");
        attack.push((client, call));
    }
    harness::eventually("a client is served", async || {
        let Ok(mut client) = RawClient::connect(service.service.server.grpc_addr).await else { return false };
        stores(&mut client).await
    })
    .await;
    harness::eventually("one was closed", async || attack.iter().any(|(client, _)| client.has_ended())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_reaches_its_maximum_age_gets_goaway_and_its_calls_succeed() {
    let (proxy, service) =
        Conversation::behind_a_proxy(|settings| settings.server.limits.connection_age = Duration::from_secs(5)).await;
    let mut client = connect(&service).await;
    assert!(stores(&mut client).await);
    proxy.stall();
    let answer = client.call(STORE_MESSAGE, &short_message()).await.expect("sent");
    harness::eventually("the server sends GOAWAY", async || client.begin(STORE_MESSAGE).await.is_err()).await;
    assert!(!client.has_ended(), "a call is still running");
    proxy.restore();
    assert_eq!(outcome(answer).await.0, Code::Ok);
    let sent_goaway = tokio::time::timeout(TIMEOUT, client.ended()).await.expect("the connection ends");
    assert!(sent_goaway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_draining_when_its_connection_reaches_its_maximum_age() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    settings.server.limits.connection_age = Duration::from_millis(1500);
    let mut service = Booking::with(settings, url, keys).await.ready().await;
    let request = StreamBookingEventsRequest { follow: true, ..Default::default() };
    let mut stream = service.clients.bookings.stream_booking_events(request).await.expect("a stream").into_inner();
    let ended = loop {
        match tokio::time::timeout(TIMEOUT, stream.message()).await.expect("the stream ends") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(kind(&ended), (Code::Unavailable, "DRAINING".to_owned()));
    let mut reconnected = BookingClients::new(service.service.server.grpc_addr);
    fixtures::venue(&mut reconnected, 4).await.expect("a venue");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_http_connection_limit_an_idle_connection_is_closed_for_a_new_one() {
    let service = conversation(|settings| settings.server.limits.max_http_connections = 2).await;
    let http = service.service.server.http_addr;
    let first = TcpStream::connect(http).await.expect("connected");
    let second = TcpStream::connect(http).await.expect("connected");
    harness::eventually("a third connection is accepted", async || {
        let mut stream = TcpStream::connect(http).await.expect("connected");
        let request = b"GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        stream.write_all(request).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    })
    .await;
    tokio::select! {
        () = until_closed(first) => {}
        () = until_closed(second) => {}
    }
    let (code, _) = exchange(http, b"GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_http_connection_limit_a_connection_with_an_incomplete_request_is_closed() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    settings.server.limits.max_http_connections = 2;
    let service = Booking::with(settings, url, keys).await.ready().await;
    let http = service.service.server.http_addr;
    let attack = async || {
        let mut stream = TcpStream::connect(http).await.expect("connected");
        let head = b"POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n{";
        stream.write_all(head).await.expect("sent");
        stream
    };
    let _attack = (attack().await, attack().await);
    harness::eventually("a client is served", async || {
        let mut stream = TcpStream::connect(http).await.expect("connected");
        let request = b"GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        stream.write_all(request).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    })
    .await;
}
