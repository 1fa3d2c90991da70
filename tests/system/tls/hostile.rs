//! Clients that begin a handshake and do not end it.

use h2::Ping;
use teppan_tests::callers::Callers;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::*;

/// The head of a record that announces 512 bytes of a ClientHello, and the beginning of it.
const HALF_HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

async fn half_open(server: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&HALF_HELLO).await?;
    Ok(stream)
}

async fn closed(mut stream: TcpStream) {
    let reading = async { while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_mins(1), reading).await.expect("the server closes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_cut_off_at_its_bound() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |settings| {
        settings.server.limits.handshake_timeout = Duration::from_millis(300);
    })
    .await;
    for server in [service.service.server.grpc_addr, service.service.server.http_addr] {
        let silent = TcpStream::connect(server).await.expect("connected");
        let half = half_open(server).await.expect("connected");
        tokio::join!(closed(silent), closed(half));
    }
    // TLS without the HTTP/2 that has to follow is bounded by the same time.
    let server = service.service.server.grpc_addr;
    let mut silent = super::server::handshake(server, &authority, b"h2").await.expect("a handshake");
    let reading = async { while matches!(silent.read(&mut [0; 1024]).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_mins(1), reading).await.expect("the server closes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_half_open_handshakes_lock_nobody_out() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |settings| {
        // Fewer than there are attackers, so that every slot is taken by one.
        settings.server.limits.max_connections = 100;
    })
    .await;
    let server = service.service.server.grpc_addr;
    let kept = connect(server, authority.client_tls(None)).await.expect("connected");
    let mut attackers = JoinSet::new();
    for attacker in 0..10 {
        attackers.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..100 {
                held.push(half_open(server).await);
            }
            (attacker, held)
        });
    }
    let held = attackers.join_all().await;
    assert_eq!(held.len(), 10);
    harness::eventually("a new client is served", async || call(server, authority.client_tls(None)).await.is_ok())
        .await;
    check(kept).await.expect("a client from before is served");
    drop(held);
}

/// The client has not called yet, so nobody knows who it is either.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_silent_in_the_handshake_give_way_before_a_client_that_came_after_them() {
    let (authority, mounted) = authority_and_server();
    let callers = Callers::default();
    let service = conversation(&mounted, None, |settings| {
        callers.guard(settings);
        settings.server.limits.max_connections = 4;
        settings.server.limits.handshake_timeout = Duration::from_mins(2);
    })
    .await;
    let server = service.service.server.grpc_addr;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(server).await.expect("connected"));
    }
    let client = super::server::handshake(server, &authority, b"h2").await.expect("a handshake");
    let (_requests, mut client) = h2::client::handshake(client).await.expect("HTTP/2");
    // No connection gives way in its first 100 ms.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _newer = [TcpStream::connect(server).await, TcpStream::connect(server).await];
    for stream in silent.drain(..2) {
        closed(stream).await;
    }
    let mut pings = client.ping_pong().expect("it was not taken yet");
    tokio::select! {
        ended = &mut client => panic!("the client was closed: {ended:?}"),
        answer = pings.ping(Ping::opaque()) => assert!(answer.is_ok(), "{answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_only_its_own_connection() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |_| {}).await;
    let server = service.service.server.grpc_addr;
    let long = vec![22; 64 * 1024];
    for garbage in [&[22, 3, 1, 0xff, 0xff, 0][..], &long, &[0; 64], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(server).await.expect("connected");
        // The server may close it before it has taken everything.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        closed(stream).await;
    }
    call(server, authority.client_tls(None)).await.expect("it is served");
}
