//! Who sends slowly, or nothing that ends, is in nobody's way.

use std::net::SocketAddr;

use chrono::Utc;
use futures::future::join_all;
use teppan_tests::stripe::{self, Intent, exchange};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use super::{SECRET, Till};

/// Begins to send an event, with a header that looks right, and returns once its body is being read.
async fn dawdle(http: SocketAddr) -> TcpStream {
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
    stream.write_all(b"{").await.expect("and has its beginning");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_of_strangers_keep_nobody_out_and_are_given_up() {
    let till = Till::open(10).await;
    let http = till.service.service.server.http_addr;
    let strangers = join_all((0..150).map(|_| dawdle(http))).await;
    let events = (0..20).map(|_| Intent::of(&Uuid::nil().to_string(), 3500).succeeded());
    join_all(events.map(async |event| till.tell(&event).await)).await;
    let answers = join_all(strangers.into_iter().map(async |mut stranger| {
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).map(str::to_owned)
    }))
    .await;
    assert!(answers.iter().all(|code| code.as_deref() == Some("408")), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_wrong_is_told_before_the_body_and_a_body_that_breaks_off_is_not_too_large() {
    let till = Till::open(10).await;
    let http = till.service.service.server.http_addr;
    let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
    let anything = "0".repeat(64);
    // The body never comes.
    let old = Utc::now().timestamp() - 310;
    let request = format!("{head}Content-Length: 10000\r\nStripe-Signature: t={old},v1={anything}\r\n\r\n");
    let (code, said) = exchange(http, request.as_bytes()).await;
    assert!(code == 400 && said.contains("BAD_SIGNATURE"), "{code}: {said}");
    let signature = stripe::signed("{", SECRET, Utc::now());
    let broken =
        format!("{head}Transfer-Encoding: chunked\r\nStripe-Signature: {signature}\r\n\r\n1\r\n{{\r\nnonsense\r\n");
    let (code, said) = exchange(http, broken.as_bytes()).await;
    assert!(code == 400 && said.contains("BODY_INCOMPLETE"), "{code}: {said}");
}
