//! Two replicas are restarted one after the other under load.

use std::{collections::HashMap, net::SocketAddr};

use secrecy::SecretString;
use serde_json::json;
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, eventually},
    launch::Which,
    replica::Replica,
};

use super::{
    grpcio::{Client, Outcome},
    tonic_client,
};
use crate::environment;

const ROUNDS: usize = 2;
/// Calls between two restarts.
const CALLS: u64 = 100;

async fn two_replicas(which: Which, url: &SecretString) -> [Replica; 2] {
    let environment: HashMap<_, _> = environment::with_keys(url).collect();
    [Replica::start(which, environment.clone()).await, Replica::start(which, environment).await]
}

fn addresses(replicas: &[Replica; 2]) -> [SocketAddr; 2] {
    [replicas[0].grpc, replicas[1].grpc]
}

#[derive(Debug, Clone, Copy)]
enum Shutdown {
    Graceful,
    Killed,
}

async fn restart(replica: &mut Replica, shutdown: Shutdown) {
    match shutdown {
        Shutdown::Graceful => replica.stop_and_restart().await,
        Shutdown::Killed => replica.kill_and_restart().await,
    }
}

/// Restarts each replica in turn while a grpcio client makes calls. Returns `None` if grpcio is not installed.
async fn restarted_under_grpcio(
    replicas: &mut [Replica; 2],
    shutdown: Shutdown,
    (method, request, key): (&str, &str, &str),
) -> Option<Outcome> {
    let mut client = Client::start(&addresses(replicas), method, request, key)?;
    client.wait_for_answers(CALLS).await;
    for _ in 0..ROUNDS {
        for replica in &mut *replicas {
            restart(replica, shutdown).await;
            client.wait_for_answers(CALLS).await;
        }
    }
    Some(client.end().await)
}

async fn stop(replicas: [Replica; 2]) {
    for replica in replicas {
        assert!(replica.stop().await, "the replica stops gracefully");
    }
}

async fn no_message_fails(shutdown: Shutdown) {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut replicas = two_replicas(Which::Conversation, &url).await;
    let request = json!({
        "conversationId": fixtures::conversation_id(),
        "role": "ROLE_USER",
        "content": "Is there a table by the window?",
        "channel": "CHANNEL_WEB",
    });
    let method = "teppan.conversation.v1.ConversationService/StoreMessage";
    let outcome = restarted_under_grpcio(&mut replicas, shutdown, (method, &request.to_string(), "message_id")).await;
    stop(replicas).await;
    let Some(Outcome { answered, failed }) = outcome else { return };
    assert!(failed.is_empty(), "{answered} were answered, {} failed: {failed:?}", failed.len());
    let stored: i64 = harness::scalar(&url, "SELECT count(*) FROM messages").await;
    assert_eq!(u64::try_from(stored), Ok(answered), "each message is stored once");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_of_a_grpcio_client_fails_while_replicas_are_restarted() {
    no_message_fails(Shutdown::Graceful).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_of_a_grpcio_client_fails_while_replicas_are_killed() {
    no_message_fails(Shutdown::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_booking_of_a_grpcio_client_fails_while_replicas_are_restarted() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let mut replicas = two_replicas(Which::Booking, &url).await;
    let venue = venue(replicas[0].grpc).await;
    let request = json!({
        "venueId": venue,
        "date": fixtures::date().to_string(),
        "startTime": "18:00",
        "partySize": 1,
        "allowDuplicate": true,
        "contact": { "name": "Mina Sato", "email": "mina@example.org" },
    });
    let request = request.to_string();
    let method = "teppan.booking.v1.BookingService/CreateBooking";
    let outcome =
        restarted_under_grpcio(&mut replicas, Shutdown::Graceful, (method, &request, "idempotency_key")).await;
    stop(replicas).await;
    let Some(Outcome { answered, failed }) = outcome else { return };
    assert!(failed.is_empty(), "{answered} were answered, {} failed: {failed:?}", failed.len());
    let booked: i64 = harness::scalar(&url, "SELECT count(*) FROM bookings").await;
    assert_eq!(u64::try_from(booked), Ok(answered), "each booking is made once");
}

async fn venue(booking: SocketAddr) -> String {
    let mut clients = BookingClients::new(booking);
    let mut venue = None;
    eventually("booking-service is ready", async || {
        venue = fixtures::venue(&mut clients, 100_000).await.ok();
        venue.is_some()
    })
    .await;
    venue.expect("a venue").venue_id
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_of_a_tonic_client_that_retries_fails_while_replicas_are_restarted() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut replicas = two_replicas(Which::Conversation, &url).await;
    let client = tonic_client::Client::start(&addresses(&replicas));
    client.wait_for_answers(CALLS).await;
    for _ in 0..ROUNDS {
        for replica in &mut replicas {
            replica.stop_and_restart().await;
            client.wait_for_answers(CALLS).await;
        }
    }
    let answered = client.end().await.unwrap_or_else(|status| panic!("a call failed: {status:?}"));
    stop(replicas).await;
    let stored: i64 = harness::scalar(&url, "SELECT count(*) FROM messages").await;
    assert_eq!(u64::try_from(stored), Ok(answered), "each message is stored once");
}
