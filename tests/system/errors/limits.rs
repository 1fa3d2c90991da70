use std::time::{Duration, Instant};

use prost::Message as _;
use teppan_tests::{
    clients, fixtures,
    harness::{self, Booking, Conversation},
};
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt as _;

use super::{create, kind};
use crate::raw;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_past_its_deadline_fails_with_deadline_exceeded() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.stall();
    let message = fixtures::booking(&venue.venue_id, 2);
    let method = "/teppan.booking.v1.BookingService/CreateBooking";
    let server = booking.service.server.grpc_addr;
    let status = raw::call(server, method, &message.encode_to_vec(), Some(("grpc-timeout", "300m"))).await;
    assert_eq!(kind(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_past_the_servers_time_limit_fails_with_deadline_exceeded() {
    // The limit leaves enough time to create the venue on a busy machine.
    let (proxy, mut booking) =
        Booking::behind_a_proxy(|settings| settings.server.request_timeout = Duration::from_secs(4)).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.stall();
    let status = create(&mut booking.clients, fixtures::booking(&venue.venue_id, 2)).await;
    assert_eq!(kind(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_above_the_concurrency_limit_are_refused_as_overload() {
    let (proxy, booking) = Booking::behind_a_proxy(|settings| settings.server.max_in_flight = 1).await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    proxy.stall();
    let calls = (0..4).map(|_| {
        let mut clients = booking.clients.clone();
        let mut request = Request::new(fixtures::booking(&venue.venue_id, 2));
        request.metadata_mut().insert("grpc-timeout", "500m".parse().expect("a header value"));
        async move { create(&mut clients, request).await }
    });
    let statuses = futures::future::join_all(calls).await;
    // One call is admitted and waits for the database until its deadline. The others are refused at once.
    let (overloaded, admitted): (Vec<_>, Vec<_>) =
        statuses.into_iter().partition(|status| status.code() == Code::ResourceExhausted);
    assert_eq!((overloaded.len(), admitted.len()), (3, 1));
    let status = &overloaded[0];
    assert_eq!(kind(status), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
    assert!(status.get_details_retry_info().expect("a RetryInfo").retry_delay.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_are_answered_under_overload() {
    let (proxy, booking) = Booking::behind_a_proxy(|settings| settings.server.max_in_flight = 1).await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    let mut health = HealthClient::new(clients::channel(booking.service.server.grpc_addr));
    let mut clients = booking.clients.clone();
    proxy.stall();
    let stalled = clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2));
    let checks = async {
        harness::eventually("the only permit is in use", async || proxy.held_back() > fixtures::STATEMENT_BYTES).await;
        let status = create(&mut booking.clients.clone(), fixtures::booking(&venue.venue_id, 2)).await;
        assert_eq!(kind(&status), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
        for service in ["", "teppan.booking.v1.BookingService", "liveness"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = health.check(request).await.expect("health answers").into_inner();
            assert!(service != "liveness" || answer.status() == ServingStatus::Serving);
        }
        proxy.restore();
    };
    let (answer, ()) = tokio::join!(stalled, checks);
    answer.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_gets_no_database_connection_is_refused_as_overload() {
    let (proxy, booking) = Booking::behind_a_proxy(|settings| {
        settings.database_limits.max_connections = 1;
        settings.database_limits.acquire_timeout = Duration::from_secs(1);
        settings.server.request_timeout = Duration::from_secs(3);
    })
    .await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    proxy.stall();
    let (mut first, mut second) = (booking.clients.clone(), booking.clients.clone());
    let (one, other) = tokio::join!(
        first.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)),
        second.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)),
    );
    let mut kinds = [kind(&one.expect_err("stalled")), kind(&other.expect_err("no connection"))];
    kinds.sort_by_key(|(_, reason)| reason.clone());
    assert_eq!(kinds[0], (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
    assert_eq!(kinds[1], (Code::ResourceExhausted, "OVERLOADED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn booking_calls_that_time_out_return_their_database_connections() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 1000).await.expect("a venue");
    for _ in 0..3 {
        proxy.stall();
        let calls = (0..40).map(|_| {
            let mut clients = booking.clients.clone();
            let mut request = Request::new(fixtures::booking(&venue.venue_id, 1));
            request.set_timeout(Duration::from_millis(100));
            async move { create(&mut clients, request).await }
        });
        futures::future::join_all(calls).await;
        proxy.restore();
        let since = Instant::now();
        for _ in 0..20 {
            booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("booked");
        }
        // If connections were lost, calls would wait twenty seconds for one.
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
    let readiness = booking.service.server.readiness();
    let enough = proxy.round_trips() + 2; // only readiness still queries the database
    harness::eventually("readiness queries the database", async || {
        assert!(readiness.is_ready(), "the database was never unavailable");
        proxy.round_trips() >= enough
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_calls_that_time_out_return_their_database_connections() {
    let (proxy, mut conversation) = Conversation::behind_a_proxy(|_| {}).await;
    for _ in 0..3 {
        proxy.stall();
        let calls = (0..40).map(|_| {
            let mut client = conversation.client.clone();
            let mut request = Request::new(fixtures::message(&fixtures::conversation_id(), "Hello"));
            request.set_timeout(Duration::from_millis(100));
            async move { client.store_message(request).await.expect_err("given up") }
        });
        futures::future::join_all(calls).await;
        proxy.restore();
        let since = Instant::now();
        let chat = fixtures::conversation_id();
        for _ in 0..20 {
            conversation.client.store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
        }
        // If connections were lost, calls would wait twenty seconds for one.
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert!(conversation.service.server.readiness().is_ready(), "the database was never unavailable");
    }
}
