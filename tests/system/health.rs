use std::time::{Duration, Instant};

use teppan_shared::keys::Keys;
use teppan_tests::{
    clients, fixtures,
    harness::{self, Booking},
    proxy::Proxy,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

async fn check(health: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    health.check(request).await.expect("health answers").into_inner().status()
}

/// The status line's code of an HTTP GET.
async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("HTTP listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    (code, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_serving_and_an_unknown_one_is_not_found() {
    let booking = Booking::start().await.ready().await;
    let mut health = HealthClient::new(clients::channel(booking.service.server.grpc_addr));
    harness::eventually("serving", async || check(&mut health, "").await == ServingStatus::Serving).await;
    for service in booking_service::app::DEFINITION.services.iter().chain(&["liveness"]) {
        assert_eq!(check(&mut health, service).await, ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest { service: "teppan.unknown".to_owned() };
    let status = health.check(unknown).await.expect_err("there is no such service");
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_database_within_two_seconds_and_liveness_does_not() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let booking = Booking::over(harness::through(&url, proxy.address), Keys::random()).await.ready().await;
    let server = &booking.service.server;
    let mut health = HealthClient::new(clients::channel(server.grpc_addr));
    // A stall is the worst case: nothing tells the service that the database is away.
    for (take_away, ready) in [(true, false), (false, true)] {
        if take_away {
            proxy.stall()
        } else {
            proxy.mend()
        }
        let since = Instant::now();
        let expected = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        harness::eventually("readiness", async || check(&mut health, "").await == expected).await;
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        assert_eq!(check(&mut health, "teppan.booking.v1.BookingService").await, expected);
        assert_eq!(check(&mut health, "liveness").await, ServingStatus::Serving);
        assert_eq!(get(server.http_addr, "/readyz").await.0, if ready { 200 } else { 503 });
        assert_eq!(get(server.http_addr, "/livez").await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_starts_without_its_database_and_is_ready_when_it_comes() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    proxy.cut();
    let mut booking = Booking::over(harness::through(&url, proxy.address), Keys::random()).await;
    let mut health = HealthClient::new(clients::channel(booking.service.server.grpc_addr));
    assert_eq!(check(&mut health, "").await, ServingStatus::NotServing);
    assert_eq!(check(&mut health, "liveness").await, ServingStatus::Serving);
    proxy.mend();
    booking = booking.ready().await;
    fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
}
