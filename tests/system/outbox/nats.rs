//! Events on NATS JetStream.

use std::collections::{HashMap, HashSet};

use async_nats::jetstream::{self, stream};
use secrecy::SecretString;
use teppan_shared::nats::NatsSettings;
use teppan_tests::harness::{self, Booking};
pub use teppan_tests::nats_server::{STREAM, published};

use super::{
    nats_server::NatsServer,
    stage::{self, all_delivered, append, book, quiet, replica, waiting},
};
use crate::logs::log_of;

const EVENT_STREAM: &str = "event-stream";

/// A service whose events are published.
async fn publishing(of: &Booking, url: String) -> Booking {
    let nowhere = ([127, 0, 0, 1], 1).into();
    replica(of, nowhere, |settings| {
        settings.nats =
            Some(NatsSettings { url: SecretString::from(url), stream: STREAM.to_owned(), ..Default::default() });
    })
    .await
}

/// Waits until every event is published; conversation-service is unavailable.
async fn all_published(service: &Booking) {
    harness::eventually("everything is published", async || {
        service.scalar::<i64>("SELECT count(*) FROM outbox_messages WHERE destination = 'event-stream'").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_as_cloud_events() {
    let (service, venue) = quiet().await;
    let nats = NatsServer::start().await;
    let replica = publishing(&service, nats.url()).await;
    let made = book(&replica, &venue, 1).await.remove(0);
    all_published(&service).await;
    let (subject, id, event) = published(&nats.url()).await.remove(0);
    assert_eq!(subject, "teppan.booking.created");
    let ids = stage::events(&service, &made.booking_id).await;
    assert_eq!((&id, event["id"].as_str()), (&ids[0], Some(ids[0].as_str())));
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "teppan.booking.created.v1");
    assert_eq!(event["source"], "/teppan/booking-service");
    assert_eq!(event["subject"], made.booking_id);
    assert_eq!(event["datacontenttype"], "application/json");
    assert_eq!(event["data"]["confirmation_code"], made.confirmation_code);
    let kept: String = service.scalar("SELECT traceparent FROM booking_events").await;
    assert_eq!(event["traceparent"], kept);
    assert!(event["time"].as_str().expect("a time").ends_with('Z'), "{event}");
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_nats_server_loses_and_duplicates_no_event() {
    const KINDS: [&str; 4] = ["rescheduled", "rescheduled", "rescheduled", "cancelled"];
    let (service, venue) = quiet().await;
    let nats = NatsServer::start().await;
    let url = nats.url();
    let (first, second) = (publishing(&service, url.clone()).await, publishing(&service, url.clone()).await);
    let mut made = book(&first, &venue, 50).await;
    for booking in &made {
        for kind in KINDS {
            append(&service, &booking.booking_id, kind, EVENT_STREAM).await;
        }
    }
    // In the middle of the delivery.
    let left = nats.kill().await;
    made.extend(book(&second, &venue, 50).await);
    assert!(waiting(&service).await >= 50, "the events wait");
    let nats = NatsServer::again(left).await;
    all_published(&service).await;

    let mut by_booking: HashMap<String, Vec<String>> = HashMap::new();
    let mut ids = HashSet::new();
    for (_, id, event) in published(&nats.url()).await {
        assert!(ids.insert(id.clone()), "{id} is stored twice");
        by_booking.entry(event["subject"].as_str().expect("a booking").to_owned()).or_default().push(id);
    }
    for booking in &made {
        let events = stage::events(&service, &booking.booking_id).await;
        assert_eq!(by_booking.get(&booking.booking_id), Some(&events), "in order, and none lost");
    }
    assert_eq!(stage::dead(&service).await, 0);
    first.service.stop().await;
    second.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_published_twice_is_stored_once() {
    let (service, venue) = quiet().await;
    let nats = NatsServer::start().await;
    let replica = publishing(&service, nats.url()).await;
    book(&replica, &venue, 1).await;
    all_published(&service).await;
    // As after a relay that died between the publication and its record.
    let again =
        "INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
                 SELECT event_id, 'event-stream', booking_id, version, now(), now() FROM booking_events";
    harness::execute(&service.url, again).await;
    all_published(&service).await;
    assert_eq!(published(&nats.url()).await.len(), 1);

    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("it answers"));
    let config = context.get_stream(STREAM).await.expect("the stream").cached_info().config.clone();
    assert_eq!((config.subjects, config.storage), (vec!["teppan.>".to_owned()], stream::StorageType::File));
    assert_eq!(config.duplicate_window.as_secs(), 3600);

    // When the stream has been deleted, the next event creates it again.
    context.delete_stream(STREAM).await.expect("removed");
    book(&replica, &venue, 3).await;
    all_published(&service).await;
    assert_eq!(published(&nats.url()).await.len(), 3);
    harness::execute(&service.url, "DELETE FROM outbox_messages WHERE destination = 'conversation-service'").await;
    all_delivered(&service).await;
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_warns_once_that_nats_is_unavailable_without_its_credentials() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    for level in ["info", "debug", "trace"] {
        let settings = [
            ("NATS_URL", "nats://somebody:hunter2@127.0.0.1:1"),
            ("CONVERSATION_SERVICE_URL", "http://127.0.0.1:1"),
            ("OUTBOX_RELAYS", "1"),
            ("LOG_LEVEL", level),
        ];
        let log = log_of(&url, &settings, async |service| service.until_logged("NATS cannot be used").await).await;
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("NATS cannot be used")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains("127.0.0.1:1"), "{log}");
        assert!(!log.contains("hunter2") && !log.contains("somebody"), "{level}: {log}");
    }
}
