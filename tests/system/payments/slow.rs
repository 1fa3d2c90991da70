//! Clients of the webhook that send slowly, or never finish, delay no other client.

use std::net::SocketAddr;

use chrono::Utc;
use futures::future::join_all;
use teppan_tests::stripe::{self, Intent, exchange};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use super::{SECRET, StripeFixture};

/// Begins to send an event with a well-formed signature header, and returns while the service reads the body.
async fn start_slow_request(http: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(http).await.expect("HTTP listens");
    let (t, anything) = (Utc::now().timestamp(), "0".repeat(64));
    let head = format!(
        "POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 10000\r\n\
         Expect: 100-continue\r\nStripe-Signature: t={t},v1={anything}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    let (expected, mut answer) = ("HTTP/1.1 100 Continue\r\n\r\n", vec![0; 25]);
    stream.read_exact(&mut answer).await.expect("the service waits for the body");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
    stream.write_all(b"{").await.expect("the first byte is sent");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_request_bodies_delay_no_event_and_time_out() {
    let fixture = StripeFixture::with_seats(10).await;
    let http = fixture.service.service.server.http_addr;
    let slow = join_all((0..150).map(|_| start_slow_request(http))).await;
    let events = (0..20).map(|_| Intent::of(&Uuid::nil().to_string(), 3500).succeeded());
    join_all(events.map(async |event| fixture.send_event(&event).await)).await;
    let answers = join_all(slow.into_iter().map(async |mut stream| {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).map(str::to_owned)
    }))
    .await;
    assert!(answers.iter().all(|code| code.as_deref() == Some("408")), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_time_is_reported_before_the_body_is_read_and_a_truncated_body_is_reported_as_incomplete() {
    let fixture = StripeFixture::with_seats(10).await;
    let http = fixture.service.service.server.http_addr;
    let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
    let anything = "0".repeat(64);
    // The client never sends the body.
    let old = Utc::now().timestamp() - 310;
    let request = format!("{head}Content-Length: 10000\r\nStripe-Signature: t={old},v1={anything}\r\n\r\n");
    let (code, answer) = exchange(http, request.as_bytes()).await;
    assert!(code == 400 && answer.contains("BAD_SIGNATURE"), "{code}: {answer}");
    let signature = stripe::signed("{", SECRET, Utc::now());
    let broken =
        format!("{head}Transfer-Encoding: chunked\r\nStripe-Signature: {signature}\r\n\r\n1\r\n{{\r\nnonsense\r\n");
    let (code, answer) = exchange(http, broken.as_bytes()).await;
    assert!(code == 400 && answer.contains("BODY_INCOMPLETE"), "{code}: {answer}");
}
