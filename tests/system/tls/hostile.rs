//! Clients that start a handshake and never complete it.

use h2::Ping;
use teppan_tests::callers::Callers;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::*;

/// The header of a record that announces a ClientHello of 512 bytes, and the first bytes of it.
const HALF_HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

async fn half_open(server: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&HALF_HELLO).await?;
    Ok(stream)
}

async fn closed(mut stream: TcpStream) {
    let reading = async { while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_mins(1), reading).await.expect("the server closes the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_handshake_is_closed_at_its_timeout() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |settings| {
        settings.server.limits.handshake_timeout = Duration::from_millis(300);
    })
    .await;
    for server in [service.service.server.grpc_addr, service.service.server.http_addr] {
        let idle = TcpStream::connect(server).await.expect("connected");
        let half = half_open(server).await.expect("connected");
        tokio::join!(closed(idle), closed(half));
    }
    // The same timeout bounds a TLS connection on which HTTP/2 does not start.
    let server = service.service.server.grpc_addr;
    let mut idle = super::server::handshake(server, &authority, b"h2").await.expect("a handshake");
    let reading = async { while matches!(idle.read(&mut [0; 1024]).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_mins(1), reading).await.expect("the server closes the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_half_open_handshakes_do_not_lock_out_other_clients() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |settings| {
        // Fewer connections than attackers open, so that attackers hold all of them.
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
    check(kept).await.expect("an earlier client is still served");
    drop(held);
}

/// The client has not called yet, so it is not authenticated either.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_idle_in_the_handshake_are_closed_before_a_newer_client() {
    let (authority, mounted) = authority_and_server();
    let callers = Callers::default();
    let service = conversation(&mounted, None, |settings| {
        callers.guard(settings);
        settings.server.limits.max_connections = 4;
        settings.server.limits.handshake_timeout = Duration::from_mins(2);
    })
    .await;
    let server = service.service.server.grpc_addr;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(server).await.expect("connected"));
    }
    let client = super::server::handshake(server, &authority, b"h2").await.expect("a handshake");
    let (_requests, mut client) = h2::client::handshake(client).await.expect("HTTP/2");
    // The server never closes a connection in its first 100 ms.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _newer = [TcpStream::connect(server).await, TcpStream::connect(server).await];
    for stream in idle.drain(..2) {
        closed(stream).await;
    }
    let mut pings = client.ping_pong().expect("the ping handle is still available");
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
        // The server may close the connection before it has read everything.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        closed(stream).await;
    }
    call(server, authority.client_tls(None)).await.expect("the client is served");
}
