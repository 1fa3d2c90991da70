//! The database's address starts to lead to another server, while the previous server hangs with open connections.

use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use secrecy::SecretString;
use teppan_shared::{
    embedded::{Durability, ThrowawayServer},
    keys::Keys,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
    proxy::Proxy,
};

const DATABASE: &str = "conversations";
/// Calls before the server hangs. Each opens a connection.
const BEFORE: usize = 2;
/// Calls that wait for the hanging server: some on a connection, others for a connection that is being opened.
const WAITING: usize = 5;
/// Far less than the timeouts of a call and of opening a connection.
const SOON: Duration = Duration::from_secs(6);

/// A PostgreSQL server of its own. All of them have the same role.
async fn server() -> (ThrowawayServer, SocketAddr) {
    let server = ThrowawayServer::start(&harness::home(), Durability::Volatile).await.expect("a server of its own");
    server.ensure_database(DATABASE).await.expect("a database");
    let role = "CREATE ROLE either SUPERUSER LOGIN PASSWORD 'either'";
    harness::execute(&server.url(DATABASE), role).await;
    let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
    (server, address)
}

fn url(address: SocketAddr) -> SecretString {
    format!("postgres://either:either@{address}/{DATABASE}?sslmode=disable").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_server_that_hangs_are_answered_by_the_one_that_takes_over() {
    let ((before, first), (after, second)) = tokio::join!(server(), server());
    let keys = Keys::random();
    // Both servers have the tables, as two nodes of a cluster do.
    Conversation::over(url(second), keys.clone()).await.ready().await.service.stop().await;
    let proxy = Proxy::start(first).await.expect("a proxy");
    let conversation = Conversation::over(url(proxy.address), keys).await.ready().await;
    let store = || {
        let (mut client, chat) = (conversation.client.clone(), fixtures::conversation_id());
        async move { client.store_message(fixtures::message(&chat, "Hello")).await }
    };
    let warm = join_all((0..BEFORE).map(|_| store())).await;
    assert!(warm.iter().all(Result::is_ok), "{warm:?}");

    proxy.stall();
    let waiting = join_all((0..WAITING).map(|_| store()));
    let taking_over = async {
        let readiness = conversation.service.server.readiness();
        harness::eventually("not ready", async || !readiness.is_ready()).await;
        proxy.lead_to(second);
        let answered = async {
            harness::within(SOON, "ready", async || readiness.is_ready()).await;
            store().await.expect("stored");
        };
        tokio::time::timeout(SOON, answered).await.expect("soon");
    };
    let (answers, ()) = tokio::join!(tokio::time::timeout(3 * SOON, waiting), taking_over);
    for answer in answers.expect("no call waits for the hanging server") {
        answer.expect("stored");
    }
    let stored = "SELECT count(*) FROM messages";
    assert_eq!(harness::scalar::<i64>(&url(second), stored).await, i64::try_from(WAITING + 1).expect("few"));
    conversation.service.stop().await;
    drop(proxy);
    tokio::join!(before.close(), after.close());
}
