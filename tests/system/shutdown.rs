use std::time::{Duration, Instant};

use teppan_shared::contract::booking::v1::Venue;
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
    proxy::Proxy,
    stripe::{exchange, post},
};
use tonic::Code;
use tonic_types::StatusExt as _;

async fn behind_a_proxy(drain: Duration) -> (Proxy, Booking, Venue) {
    let (proxy, mut booking) = Booking::behind_a_proxy(|settings| settings.server.shutdown_drain = drain).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    (proxy, booking, venue)
}

/// Waits until a statement is on its way and the stalled proxy holds it back.
async fn statement_under_way(proxy: &Proxy) {
    harness::eventually("a statement", async || proxy.held_back() > fixtures::STATEMENT_BYTES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_is_answered_before_the_service_ends() {
    let (proxy, booking, venue) = behind_a_proxy(Duration::from_secs(10)).await;
    let mut clients = booking.clients.clone();
    proxy.stall();
    let call = clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2));
    let stop = async {
        statement_under_way(&proxy).await;
        let stop = booking.service.stop();
        tokio::pin!(stop);
        assert!(
            tokio::time::timeout(Duration::from_millis(200), &mut stop).await.is_err(),
            "the stop waits for the call"
        );
        proxy.restore();
        stop.await;
    };
    let (answer, ()) = tokio::join!(call, stop);
    answer.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlasts_the_drain_time_fails_with_draining() {
    let (proxy, booking, venue) = behind_a_proxy(Duration::from_millis(300)).await;
    let mut clients = booking.clients.clone();
    proxy.stall();
    let call = clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2));
    let stop = async {
        statement_under_way(&proxy).await;
        booking.service.stop().await;
    };
    let (answer, ()) = tokio::join!(call, stop);
    let status = answer.expect_err("cut off");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "DRAINING");
    assert!(status.get_details_retry_info().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_delay_the_stop() {
    let (_proxy, booking, _) = behind_a_proxy(Duration::from_millis(300)).await;
    let _idle = tokio::net::TcpStream::connect(booking.service.server.grpc_addr).await.expect("connected");
    let since = Instant::now();
    booking.service.stop().await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_are_answered_until_the_last_call_has_ended() {
    let (proxy, booking, venue) = behind_a_proxy(Duration::from_secs(30)).await;
    let (grpc, http) = (booking.service.server.grpc_addr, booking.service.server.http_addr);
    let mut clients = booking.clients.clone();
    proxy.stall();
    let call = clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2));
    let stop = async {
        statement_under_way(&proxy).await;
        booking.service.stop().await;
    };
    let probes = async {
        statement_under_way(&proxy).await;
        harness::eventually("the service drains", async || tokio::net::TcpStream::connect(grpc).await.is_err()).await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(http, get("/livez").as_bytes()).await, (200, "alive\n".to_owned()));
        assert_eq!(exchange(http, get("/readyz").as_bytes()).await, (503, "draining\n".to_owned()));
        let (code, body) = post(http, None, "{}").await;
        assert_eq!((code, body.as_str()), (503, "draining\n"), "Stripe sends the event again, to another replica");
        proxy.restore();
    };
    let (answer, (), ()) = tokio::join!(call, stop, probes);
    answer.expect("booked");
    assert!(tokio::net::TcpStream::connect(http).await.is_err(), "the HTTP server has stopped");
}
