use std::time::{Duration, Instant};

use teppan_shared::keys::Keys;
use teppan_tests::{
    clients, fixtures,
    harness::{self, Booking},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

async fn check(health: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    health.check(request).await.expect("health answers").into_inner().status()
}

/// Watches the health of a service.
async fn watch(health: &mut HealthClient<Channel>, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    health.watch(request).await.expect("health answers").into_inner()
}

/// Reads a stream until it reports this status.
async fn until(stream: &mut Streaming<HealthCheckResponse>, expected: ServingStatus) {
    let reading = async { while stream.message().await.expect("no error").expect("no end").status() != expected {} };
    tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap_or_else(|_| panic!("never {expected:?}"));
}

/// Status code and whole answer of an HTTP GET.
pub async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
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
async fn readiness_follows_the_database_within_two_seconds_and_liveness_is_not_affected() {
    let (proxy, booking) = Booking::behind_a_proxy(|_| {}).await;
    let server = &booking.service.server;
    let mut health = HealthClient::new(clients::channel(server.grpc_addr));
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..3 {
        // A stall is the worst case: no error shows the service that the database is unavailable.
        for (n, ready) in [false, true].into_iter().enumerate() {
            if ready {
                proxy.restore();
            } else {
                proxy.stall();
            }
            let since = Instant::now();
            let expected = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            harness::eventually("readiness", async || check(&mut health, "").await == expected).await;
            times[n].push(since.elapsed());
            assert_eq!(check(&mut health, "teppan.booking.v1.BookingService").await, expected);
            assert_eq!(check(&mut health, "liveness").await, ServingStatus::Serving);
            assert_eq!(get(server.http_addr, "/readyz").await.0, if ready { 200 } else { 503 });
            assert_eq!(get(server.http_addr, "/livez").await.0, 200);
        }
    }
    // The slowest of three may be due to a busy machine.
    for mut times in times {
        times.sort();
        assert!(times[1] < Duration::from_secs(2), "{times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_starts_without_its_database_and_becomes_ready_when_the_database_is_available() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    proxy.refuse().await.expect("the port is kept");
    let mut booking = Booking::over(url, Keys::random()).await;
    let mut health = HealthClient::new(clients::channel(booking.service.server.grpc_addr));
    assert_eq!(check(&mut health, "").await, ServingStatus::NotServing);
    assert_eq!(check(&mut health, "liveness").await, ServingStatus::Serving);
    proxy.restore();
    booking = booking.ready().await;
    fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_watch_reports_that_the_database_becomes_unavailable_and_available_again() {
    let (proxy, booking) = Booking::behind_a_proxy(|_| {}).await;
    let mut health = HealthClient::new(clients::channel(booking.service.server.grpc_addr));
    let mut all = watch(&mut health, "").await;
    let mut one = watch(&mut health, "teppan.booking.v1.BookingService").await;
    let mut liveness = watch(&mut health, "liveness").await;
    until(&mut all, ServingStatus::Serving).await;
    until(&mut one, ServingStatus::Serving).await;
    until(&mut liveness, ServingStatus::Serving).await;
    proxy.refuse().await.expect("the port is kept");
    until(&mut all, ServingStatus::NotServing).await;
    until(&mut one, ServingStatus::NotServing).await;
    proxy.restore();
    until(&mut all, ServingStatus::Serving).await;
    until(&mut one, ServingStatus::Serving).await;
    let reported = tokio::time::timeout(Duration::ZERO, liveness.message()).await;
    assert!(reported.is_err(), "liveness did not change: {reported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_watch_reports_the_shutdown_and_does_not_delay_it() {
    let booking = Booking::start().await.ready().await; // calls may take five seconds to end
    let mut health = HealthClient::new(clients::channel(booking.service.server.grpc_addr));
    let mut stream = watch(&mut health, "").await;
    until(&mut stream, ServingStatus::Serving).await;
    let watching = async {
        until(&mut stream, ServingStatus::NotServing).await;
        while let Ok(Some(_)) = stream.message().await {}
    };
    let since = Instant::now();
    tokio::join!(booking.service.stop(), watching);
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}
