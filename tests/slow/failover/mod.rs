//! A PostgreSQL cluster loses its primary ten times under load.

mod acknowledged;
mod load;
mod verify;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use sqlx::PgConnection;
use teppan_tests::{
    clients::BookingClients,
    cluster::{Cluster, Node},
    fixtures,
    harness::{home, within},
    launch::{Process, Shown, Which},
    tool::wait_until_serving,
};
use tokio_util::sync::CancellationToken;

use self::acknowledged::Acknowledged;

const ROUNDS: usize = 10;
const CLIENTS: usize = 6;
const SEATS: i32 = 100_000;
/// The longest time from the promotion of a new primary until the services write again.
const LATER_MAX: Duration = Duration::from_secs(2);
/// A hanging primary is replaced when its lease ends, after 20 s.
const FAILOVER_MAX: Duration = Duration::from_mins(1);
/// The load runs this long between two faults.
const CALM: Duration = Duration::from_secs(2);

/// The fault of the primary.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `kill -9` of the PostgreSQL server.
    Killed,
    /// SIGSTOP of every process of the node, until another node is primary.
    Frozen,
}

struct Measured {
    fault: Fault,
    /// The time from the fault until another node is primary.
    promoted: Duration,
    /// The time from the fault until a plain client with a new connection has written through HAProxy.
    failover: Duration,
    /// The time from the fault until both services have written.
    written: Duration,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-slow"]
async fn nothing_that_was_acknowledged_is_lost_or_done_twice_while_a_cluster_fails_over_ten_times() {
    let Some(cluster) = Cluster::start(&home()).await.expect("a cluster") else { return };
    cluster.create_database("teppan_booking").await;
    cluster.create_database("teppan_conversation").await;
    let key = format!("{}=", "A".repeat(43)); // base64 of 32 bytes
    let conversation = start(Which::Conversation, &cluster, &key, []).await;
    let delivery = ("CONVERSATION_SERVICE_URL", format!("http://{}", conversation.grpc));
    let booking = start(Which::Booking, &cluster, &key, [delivery]).await;
    let mut clients = BookingClients::new(booking.grpc);
    let venue_id = fixtures::firm_venue(&mut clients, SEATS).await.expect("a venue").venue_id;

    let (acknowledged, stop) = (Acknowledged::default(), CancellationToken::new());
    let load = join_all(
        (0..CLIENTS).map(|index| load::client(index, booking.grpc, conversation.grpc, &venue_id, &acknowledged, &stop)),
    );
    let failing = async {
        let mut measured = Vec::new();
        for round in 0..ROUNDS {
            let fault = if round % 2 == 0 { Fault::Killed } else { Fault::Frozen };
            measured.push(fail(&cluster, fault, &acknowledged).await);
            cluster.settled().await;
            tokio::time::sleep(CALM).await;
            // A replaced node may restart once more.
            cluster.settled().await;
        }
        stop.cancel();
        measured
    };
    let (_, measured) = tokio::join!(load, failing);
    show(&measured, &acknowledged);
    verify::everything(&cluster, &acknowledged, &key).await;
    for measured in &measured {
        let later = measured.written.saturating_sub(measured.failover);
        assert!(later <= LATER_MAX, "{:?}: written {later:?} after the failover", measured.fault);
    }
    assert!(booking.stop().await && conversation.stop().await, "both exit with code 0");
}

async fn start<const N: usize>(
    which: Which,
    cluster: &Cluster,
    key: &str,
    others: [(&'static str, String); N],
) -> Process {
    let environment: HashMap<_, _> =
        verify::variables(which, cluster, key).chain(others.map(|(name, value)| (name.to_owned(), value))).collect();
    let process = Process::start_showing(which, &environment, Shown::Nothing).await.expect("the process starts");
    wait_until_serving(which.binary(), process.grpc).await.expect("the service is ready");
    process
}

/// Makes one failover.
async fn fail(cluster: &Cluster, fault: Fault, acknowledged: &Acknowledged) -> Measured {
    let primary = cluster.primary().await.expect("a primary");
    let mut standbys = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.port != primary.port) {
        within(FAILOVER_MAX, "a standby answers", async || match cluster.connect_to(node).await {
            Ok(standby) => {
                standbys.push(standby);
                true
            }
            Err(_) => false,
        })
        .await;
    }
    match fault {
        Fault::Killed => primary.kill_server(),
        Fault::Frozen => primary.freeze(),
    }
    .expect("the process runs");
    let since = Instant::now();
    let promoted = async {
        within(FAILOVER_MAX, "another primary", async || any_is_primary(&mut standbys).await).await;
        since.elapsed()
    };
    let failover = async {
        within(FAILOVER_MAX, "a plain client writes", async || cluster.can_be_written_to().await).await;
        since.elapsed()
    };
    let written = async {
        within(FAILOVER_MAX + LATER_MAX, "both services write", async || acknowledged.both_since(since).is_some())
            .await;
        acknowledged.both_since(since).expect("both") - since
    };
    let (promoted, failover, written) = tokio::join!(promoted, failover, written);
    thaw(fault, primary);
    println!("{fault:?} {}: promoted after {promoted:.2?}, a plain client wrote after {failover:.2?}", primary.name);
    println!("  both services wrote after {written:.2?}");
    Measured { fault, promoted, failover, written }
}

fn thaw(fault: Fault, primary: &Node) {
    if matches!(fault, Fault::Frozen) {
        primary.thaw().expect("the node runs");
    }
}

async fn any_is_primary(standbys: &mut [PgConnection]) -> bool {
    for standby in standbys {
        let promoted = sqlx::query_scalar("SELECT NOT pg_is_in_recovery()").fetch_one(standby).await;
        if promoted.unwrap_or(false) {
            return true;
        }
    }
    false
}

fn show(measured: &[Measured], acknowledged: &Acknowledged) {
    let (bookings, messages) = acknowledged.counts();
    println!("{bookings} bookings and {messages} messages were acknowledged");
    println!("| primary | another primary after | a plain client wrote after | both services wrote after |");
    println!("|---|---|---|---|");
    for Measured { fault, promoted, failover, written } in measured {
        let [promoted, failover, written] = [promoted, failover, written].map(Duration::as_secs_f64);
        println!("| {fault:?} | {promoted:.1} s | {failover:.1} s | {written:.1} s |");
    }
}
