//! Streams with `follow`, which stay open.

use std::time::{Duration, Instant};

use booking_service::settings::Settings;
use teppan_shared::contract::booking::v1::{StreamBookingEventsRequest, StreamStart};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    fixture::{self, book_many, subjects},
    readers::{Reader, after, events, from_the_oldest},
};

/// The share of one connection in the default of MAX_STREAMS.
const STREAMS_MAX: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_follows_receives_the_events_of_all_replicas() {
    let (service, venue_id) = fixture::venue().await;
    let replica = Booking::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let newest = StreamBookingEventsRequest { start: StreamStart::Newest.into(), ..Default::default() };
    let mut reader = Reader::open(&service.clients, newest).await.expect("a stream");
    assert_eq!(reader.step().await.expect("a step"), None, "the first step carries only the cursor");
    assert!(!reader.cursor.is_empty());
    for served_by in [&service, &replica, &service] {
        let booked = book_many(served_by, &venue_id, 2).await;
        assert_eq!(subjects(&reader.events(2).await), booked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_draining_when_the_service_stops_and_continues_on_another_replica() {
    let (service, venue_id) = fixture::venue().await;
    let replica = Booking::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let booked = book_many(&service, &venue_id, 3).await;
    let mut reader = Reader::open(&service.clients, from_the_oldest()).await.expect("a stream");
    assert_eq!(subjects(&reader.events(2).await), booked[..2]);
    let cursor = reader.cursor.clone();

    let since = Instant::now();
    service.service.stop().await;
    assert!(since.elapsed() < Duration::from_secs(4), "the stream did not hold up the stop: {:?}", since.elapsed());
    let ended = loop {
        if let Err(status) = reader.step().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    assert_eq!(ended.get_details_error_info().expect("an ErrorInfo").reason, "DRAINING");
    assert!(ended.get_details_retry_info().is_some());
    assert_eq!(subjects(&events(&replica.clients, after(&cursor)).await), booked[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_matching_events_still_advances_its_cursor() {
    let (service, venue_id) = fixture::venue().await;
    let common = harness::settings(service.url.clone(), &service.keys);
    let change = |settings: &mut Settings| settings.event_stream.heartbeat = Duration::from_millis(100);
    let replica = Booking::changed(change, common, service.url.clone(), service.keys.clone()).await;
    let clients = replica.clients.clone();
    let cancelled = vec!["teppan.booking.cancelled.v1".to_owned()];
    let request = StreamBookingEventsRequest { types: cancelled, ..Default::default() };
    let mut reader = Reader::open(&clients, request).await.expect("a stream");
    book_many(&service, &venue_id, 3).await;
    harness::eventually("the cursor is past the events that did not match", async || {
        assert_eq!(reader.step().await.expect("a step"), None);
        events(&clients, after(&reader.cursor)).await.is_empty()
    })
    .await;
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_client_frees_the_permits_and_the_queries_of_its_streams() {
    let (proxy, service) = Booking::behind_a_proxy(|_| {}).await;
    let mut readers = Vec::new();
    for _ in 0..STREAMS_MAX {
        readers.push(Reader::open(&service.clients, from_the_oldest()).await.expect("a stream"));
    }
    let refused = Reader::open(&service.clients, from_the_oldest()).await.map(|_| ()).expect_err("one too many");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.get_details_error_info().expect("an ErrorInfo").reason, "OVERLOADED");

    drop(readers);
    harness::eventually("the permits are free again", async || {
        let mut again = Vec::new();
        for _ in 0..STREAMS_MAX {
            again.push(Reader::open(&service.clients, from_the_oldest()).await);
        }
        again.iter().all(Result::is_ok)
    })
    .await;
    // Only readiness still queries the database.
    harness::eventually("the service does not query for events", async || {
        let before = proxy.round_trips();
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.round_trips() - before <= 5
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_pauses_causes_no_queries_and_misses_no_events() {
    const EVENTS: usize = 20_000;
    let (proxy, mut service) = Booking::behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut service.clients, 10).await.expect("a venue");
    book_many(&service, &venue.venue_id, 1).await;
    let copies = u32::try_from(EVENTS - 1).expect("a small number");
    harness::execute(&service.url, sqlx::AssertSqlSafe(fixture::copies(copies))).await;

    let before = proxy.round_trips();
    let mut reader = Reader::open(&service.clients, from_the_oldest()).await.expect("a stream");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let queries = proxy.round_trips() - before;
    // There are 40 pages or more. The service reads only as many as fit into its buffers.
    assert!(queries < 20, "{queries} round trips for a reader that reads nothing");
    assert_eq!(reader.events(EVENTS).await.len(), EVENTS);
}
