//! The databases compared with the acknowledged calls.

use std::{collections::BTreeSet, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use teppan_tests::{
    cluster::Cluster,
    harness::{connect, scalar, within},
    invariants::SEQUENCES_WITH_GAPS,
    launch::{Which, binary},
};
use tokio::process::Command;

use super::Acknowledged;

/// Longer than a relay's lease and its longest pause.
const DELIVERED_WITHIN: Duration = Duration::from_mins(2);

fn url(which: Which, cluster: &Cluster) -> SecretString {
    cluster.url(match which {
        Which::Booking => "teppan_booking",
        Which::Conversation => "teppan_conversation",
    })
}

/// The variables of a service that uses the cluster.
pub fn variables(which: Which, cluster: &Cluster, key: &str) -> impl Iterator<Item = (String, String)> {
    [
        ("DATABASE_URL", url(which, cluster).expose_secret().to_owned()),
        ("ENCRYPTION_KEYS", format!("1:{key}")),
        ("SHUTDOWN_PAUSE_MS", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}

/// Every acknowledged booking and message is stored once, and no other; its messages are delivered.
pub async fn everything(cluster: &Cluster, acknowledged: &Acknowledged, key: &str) {
    let (booking, conversation) = (url(Which::Booking, cluster), url(Which::Conversation, cluster));
    assert_eq!(set(&booking, "SELECT booking_id::text FROM bookings").await, acknowledged.bookings());
    assert_eq!(set(&conversation, "SELECT message_id::text FROM messages").await, acknowledged.messages());
    assert_eq!(scalar::<i64>(&conversation, SEQUENCES_WITH_GAPS).await, 0, "sequences are dense");
    let seats: i64 = scalar(&booking, "SELECT sum(reserved)::bigint FROM slots").await;
    assert_eq!(usize::try_from(seats), Ok(acknowledged.counts().0), "a seat for each booking");
    within(DELIVERED_WITHIN, "everything is delivered", async || {
        scalar::<i64>(&booking, "SELECT count(*) FROM outbox_messages").await == 0
    })
    .await;
    let followed: i64 = scalar(&conversation, "SELECT count(*) FROM follow_ups").await;
    assert_eq!(usize::try_from(followed), Ok(acknowledged.counts().0), "a follow-up for each booking");

    let audit = Command::new(binary("booking-service"))
        .arg("verify-events")
        .envs(variables(Which::Booking, cluster, key))
        .output()
        .await
        .expect("the process runs");
    let printed = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.status.success(), "verify-events: {printed}{}", String::from_utf8_lossy(&audit.stderr));
}

async fn set(url: &SecretString, query: &'static str) -> BTreeSet<String> {
    let all: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut connect(url).await).await.expect("answered");
    let set: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "no row is stored twice");
    set
}
