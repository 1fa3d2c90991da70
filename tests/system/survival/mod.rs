//! Several replicas of both services are killed at random moments under load. Everything that was answered is stored,
//! and everything that follows from it happens once and in order.

mod follower;
mod load;
mod unavailable;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use futures::future::join_all;
use rand::Rng as _;
use secrecy::SecretString;
use teppan_shared::contract::booking::v1::BookingEvent;
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, eventually, within},
    invariants::{SEQUENCES_WITH_GAPS, STATISTICS_THAT_DIFFER},
    launch::Which,
    replica::Replica,
};
use tokio_util::sync::CancellationToken;

use self::follower::Follower;
use crate::{
    environment,
    event_stream::readers::{events, from_the_oldest},
};

const CLIENTS: usize = 8;
/// Longer than the lease of a relay.
const LEASES_ARE_OVER: Duration = Duration::from_secs(40);
const SEATS: i32 = 50_000;

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_each_service_killed_at_any_moment_lose_nothing_and_do_nothing_twice() {
    survives(2, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_of_each_service_killed_at_any_moment_lose_nothing_and_do_nothing_twice() {
    survives(3, 3).await;
}

async fn survives(replicas: usize, kills: usize) {
    let booking_url = harness::database(&booking_service::app::DEFINITION).await;
    let conversation_url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut all = start(replicas, &booking_url, &conversation_url).await;
    let addresses: Vec<_> = all.iter().map(|(booking, conversation)| (booking.grpc, conversation.grpc)).collect();
    let mut clients = BookingClients::new(addresses[0].0);
    let mut venue_id = String::new();
    eventually("booking-service is ready", async || {
        let venue = fixtures::venue_with(&mut clients, SEATS, |venue| venue.deposit_percent = Some(0)).await;
        venue_id = venue.map(|venue| venue.venue_id).unwrap_or_default();
        !venue_id.is_empty()
    })
    .await;

    let stop = CancellationToken::new();
    let load = join_all((0..CLIENTS).map(|index| {
        let (booking, conversation) = addresses[index % replicas];
        load::client(index, booking, conversation, &venue_id, &stop)
    }));
    let killing = async {
        for _ in 0..kills {
            let (moment, victim, is_booking) = {
                let mut rng = rand::rng();
                (rng.random_range(100..700), rng.random_range(0..replicas), rng.random_bool(0.5))
            };
            tokio::time::sleep(Duration::from_millis(moment)).await;
            let (booking, conversation) = &mut all[victim];
            if is_booking { booking } else { conversation }.kill_and_restart().await;
        }
        stop.cancel();
    };
    // A reader follows the whole time, and resumes from its last cursor whenever the stream breaks.
    let reader = Follower::default();
    let (booked, ()) = tokio::select! {
        done = async { tokio::join!(load, killing) } => done,
        () = reader.follow(&addresses) => unreachable!("the reader follows until it is dropped"),
    };
    let booked: usize = booked.into_iter().sum();
    tokio::select! {
        () = within(LEASES_ARE_OVER, "every event is followed", async || reader.count() >= booked) => {}
        () = reader.follow(&addresses) => unreachable!("the reader follows until it is dropped"),
    }
    each_once_and_in_order(&reader.events(), booked);

    every_statistic_is_that_of_its_messages(&conversation_url).await;
    every_booking_has_one_follow_up(booked, &booking_url, &conversation_url).await;
    every_event_is_streamed_once_and_in_order(booked, &clients, &booking_url).await;
    for (booking, conversation) in all {
        assert!(booking.stop().await && conversation.stop().await, "both exit with code 0");
    }
}

/// Starts this many pairs: each booking-service delivers to its own conversation-service.
async fn start(replicas: usize, booking: &SecretString, conversation: &SecretString) -> Vec<(Replica, Replica)> {
    let pairs = (0..replicas).map(async |_| {
        let environment: HashMap<_, _> = environment::with_keys(conversation).collect();
        let conversation = Replica::start(Which::Conversation, environment).await;
        let mut environment: HashMap<_, _> = environment::with_keys(booking).collect();
        environment.insert("CONVERSATION_SERVICE_URL".to_owned(), format!("http://{}", conversation.grpc));
        // A killed relay's messages are due again after 4 times this timeout plus 5 s.
        environment.insert("OUTBOX_DELIVERY_TIMEOUT_MS".to_owned(), "1000".to_owned());
        environment.insert("OUTBOX_RELAYS".to_owned(), "2".to_owned());
        (Replica::start(Which::Booking, environment).await, conversation)
    });
    join_all(pairs).await
}

async fn every_statistic_is_that_of_its_messages(conversation: &SecretString) {
    eventually("everything is counted", async || {
        harness::scalar::<i64>(conversation, "SELECT count(*) FROM emotion_pending").await == 0
    })
    .await;
    let different = harness::scalar::<i64>(conversation, STATISTICS_THAT_DIFFER).await;
    assert_eq!(different, 0, "conversations whose statistics are not those of their messages");
    assert_eq!(harness::scalar::<i64>(conversation, SEQUENCES_WITH_GAPS).await, 0, "sequences are dense");
}

fn each_once_and_in_order(events: &[BookingEvent], count: usize) {
    let ids: BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!((ids.len(), events.len()), (count, count), "each once");
    let mut versions = HashMap::<&str, i64>::new();
    for event in events {
        let version = versions.entry(&event.subject).or_default();
        assert_eq!(event.booking_version, *version + 1, "in order");
        *version += 1;
    }
}

async fn every_booking_has_one_follow_up(booked: usize, booking: &SecretString, conversation: &SecretString) {
    within(LEASES_ARE_OVER, "everything is delivered", async || {
        harness::scalar::<i64>(booking, "SELECT count(*) FROM outbox_messages").await == 0
    })
    .await;
    let bookings = texts(booking, "SELECT 'booking:' || booking_id FROM bookings").await;
    let subjects = texts(conversation, "SELECT subject FROM follow_ups").await;
    assert_eq!(bookings.len(), booked, "every booking that was answered, and no other");
    assert_eq!(subjects.len(), bookings.len(), "one each");
    assert_eq!(subjects.into_iter().collect::<BTreeSet<_>>(), bookings.into_iter().collect());
}

async fn texts(url: &SecretString, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(&mut harness::connect(url).await).await.expect("answered")
}

async fn every_event_is_streamed_once_and_in_order(booked: usize, clients: &BookingClients, url: &SecretString) {
    let streamed = events(clients, from_the_oldest()).await;
    each_once_and_in_order(&streamed, booked);
    let written = harness::scalar::<i64>(url, "SELECT count(*) FROM booking_events").await;
    assert_eq!(usize::try_from(written), Ok(booked));
}
