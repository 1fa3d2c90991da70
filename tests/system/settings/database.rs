//! Databases that can and cannot be used.

use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;
use teppan_shared::keys::Keys;
use teppan_tests::harness::{self, Booking};
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::{health::get, logs::log_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_store_every_text_is_refused_before_the_service_is_ready() {
    let server = harness::postgres().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("encoding_{}", encoding.to_lowercase());
        let create = |encoding| {
            let sql = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
            async move { harness::execute(&server.url("postgres"), AssertSqlSafe(sql)).await }
        };
        create(encoding).await;
        let url = server.url(&name);
        let log = log_of(&url, &[], async |service| {
            service.until_logged("the database cannot be used").await;
            let (code, body) = get(service.http, "/readyz").await;
            assert!(code == 503 && body.contains("the encoding of the database is not UTF8"), "{body}");
            let tables: i64 = harness::scalar(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
            assert_eq!(tables, 0, "no table was created");

            // When a usable database takes its address, the service becomes ready without a restart.
            harness::drop_database(&url).await;
            create("UTF8").await;
            harness::eventually("ready", async || get(service.http, "/readyz").await.0 == 200).await;
        })
        .await;
        let expected =
            format!("the encoding of the database is {encoding}, and must be UTF8: make another one with CREATE");
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&expected)).collect();
        assert!(lines.len() == 1 && lines[0].contains(r#""level":"ERROR""#), "{log}");
        harness::drop_database(&url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_at_an_ipv6_address_is_reached() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let (server, address) = (harness::database_address(&url), listener.local_addr().expect("the listener is bound"));
    let _relay = AbortOnDropHandle::new(TaskTracker::new().spawn(relay(listener, server)));
    let url = SecretString::from(url.expose_secret().replace(&server.to_string(), &address.to_string()));
    assert!(url.expose_secret().contains("@[::1]:"));
    let booking = Booking::over(url, Keys::random()).await.ready().await;
    booking.service.stop().await;
}

/// Forwards connections.
async fn relay(listener: TcpListener, server: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut server = TcpStream::connect(server).await?;
            io::copy_bidirectional(&mut client, &mut server).await
        });
    }
}
