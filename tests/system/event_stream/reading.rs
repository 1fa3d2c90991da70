//! Streams without `follow`, which end at the newest event.

use teppan_shared::contract::booking::v1::{
    ListVenuesRequest, StreamBookingEventsRequest, StreamStart, booking_event::Data,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{
    fixture::{self, book, book_many, subjects},
    readers::{after, events, from_the_oldest, ids, steps},
};

const CREATED: &str = "teppan.booking.created.v1";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_its_envelope_and_the_values_of_the_booking() {
    let (service, venue_id) = fixture::venue().await;
    let booking = book(&service, &venue_id).await.booking.expect("the booking");
    let event = events(&service.clients, from_the_oldest()).await.remove(0);
    assert_eq!((event.source.as_str(), event.specversion.as_str()), ("/teppan/booking-service", "1.0"));
    assert_eq!((event.r#type.as_str(), &event.subject), (CREATED, &booking.booking_id));
    assert_eq!((event.booking_version, &event.venue_id), (1, &venue_id));
    assert_eq!((event.time, event.previous_hash.len(), event.hash.len()), (booking.created_at, 0, 32));
    assert!(event.traceparent.starts_with("00-"), "{:?}", event.traceparent);
    assert!(Uuid::try_parse(&event.id).is_ok());

    let Some(Data::BookingCreated(data)) = event.data else { panic!("{:?}", event.data) };
    assert_eq!((&data.booking_id, &data.venue_id), (&booking.booking_id, &venue_id));
    assert_eq!((data.date, data.start_time), (booking.date, booking.start_time));
    assert_eq!((data.booking_version, data.status, data.occurred_at), (1, booking.status, booking.created_at));
    assert_eq!((data.customer_id, data.conversation_id), (booking.customer_id, booking.conversation_id));
    assert_eq!((data.confirmation_code, data.time_zone), (booking.confirmation_code, booking.time_zone));
    assert_eq!((data.starts_at, data.ends_at), (booking.starts_at, booking.ends_at));
    assert_eq!((data.party_size, data.price_per_person_cents), (2, booking.price_per_person_cents));
    assert_eq!((data.total_cents, data.deposit_cents), (booking.total_cents, booking.deposit_cents));
    assert_eq!((data.currency, data.hold_expires_at), (booking.currency, booking.hold_expires_at));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_continues_after_any_cursor_even_after_a_restart_or_on_another_replica() {
    let (service, venue_id) = fixture::venue().await;
    let booked = book_many(&service, &venue_id, 12).await;
    let all = steps(&service.clients, from_the_oldest()).await.expect("a stream");
    let received: Vec<_> = all.iter().filter_map(|step| step.event.clone()).collect();
    assert_eq!(subjects(&received), booked, "each booking once, in order");

    let replica = Booking::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let (url, keys) = (service.url.clone(), service.keys.clone());
    service.service.stop().await;
    let restarted = Booking::over(url, keys).await.ready().await;
    for (read, step) in all.iter().enumerate() {
        let served_by = if read % 2 == 0 { &replica } else { &restarted };
        let rest = events(&served_by.clients, after(&step.cursor)).await;
        assert_eq!(ids(&rest), ids(&received[(read + 1).min(received.len())..]), "after step {read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_many_pages_has_no_gaps_and_its_filters_find_distant_events() {
    let (service, venue_id) = fixture::venue().await;
    let first = book(&service, &venue_id).await.booking.expect("the booking").booking_id;
    harness::execute(&service.url, sqlx::AssertSqlSafe(fixture::copies(1999))).await;
    let other = fixtures::venue(&mut service.clients.clone(), 10).await.expect("a venue").venue_id;
    let last = book(&service, &other).await.booking.expect("the booking").booking_id;

    let all = events(&service.clients, from_the_oldest()).await;
    let mut distinct = ids(&all);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((all.len(), distinct.len()), (2001, 2001));

    let only = async |filter: StreamBookingEventsRequest| subjects(&events(&service.clients, filter).await);
    let of_venue = |venue_id: &str| StreamBookingEventsRequest { venue_id: venue_id.to_owned(), ..Default::default() };
    let of_booking = |id: &str| StreamBookingEventsRequest { booking_id: id.to_owned(), ..Default::default() };
    let of_types = |types: &[&str]| StreamBookingEventsRequest {
        types: types.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    assert_eq!(only(of_venue(&other)).await, std::slice::from_ref(&last));
    assert_eq!(only(of_booking(&first)).await, std::slice::from_ref(&first));
    assert_eq!(only(of_booking(&last)).await, std::slice::from_ref(&last));
    assert_eq!(only(of_types(&["teppan.booking.cancelled.v1"])).await.len(), 0);
    assert_eq!(only(of_types(&["teppan.booking.cancelled.v1", CREATED])).await.len(), 2001);
    let both = StreamBookingEventsRequest { booking_id: first, ..of_venue(&other) };
    assert_eq!(only(both).await.len(), 0);

    // The cursor moves past events that do not match.
    let nothing = steps(&service.clients, of_types(&["teppan.booking.cancelled.v1"])).await.expect("a stream");
    assert_eq!(events(&service.clients, after(&nothing[0].cursor)).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_is_streamed_without_its_data() {
    let (service, venue_id) = fixture::venue().await;
    book_many(&service, &venue_id, 3).await;
    let second = "event_id = (SELECT event_id FROM booking_events ORDER BY event_id OFFSET 1 LIMIT 1)";
    let unknown = format!("UPDATE booking_events SET type = 'teppan.booking.teleported.v7' WHERE {second}");
    let broken =
        "UPDATE booking_events SET data = '{}' WHERE event_id = (SELECT max(event_id::text)::uuid FROM booking_events)";
    harness::execute(&service.url, sqlx::AssertSqlSafe(format!("{unknown}; {broken}"))).await;
    let received = events(&service.clients, from_the_oldest()).await;
    assert_eq!(received.iter().map(|event| event.data.is_some()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(received[1].r#type, "teppan.booking.teleported.v7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_starts_at_the_newest_event_has_no_events() {
    let (service, venue_id) = fixture::venue().await;
    let newest = StreamBookingEventsRequest { start: StreamStart::Newest.into(), ..Default::default() };
    let empty = steps(&service.clients, newest.clone()).await.expect("a stream");
    book_many(&service, &venue_id, 2).await;
    // The cursor of the empty stream precedes every later event.
    assert_eq!(events(&service.clients, after(&empty[0].cursor)).await.len(), 2);
    harness::eventually("the events are visible in the stream", async || {
        events(&service.clients, newest.clone()).await.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_forged_or_belongs_to_another_stream_is_refused() {
    let (mut service, venue_id) = fixture::venue().await;
    book_many(&service, &venue_id, 2).await;
    fixtures::venue(&mut service.clients, 1).await.expect("another venue");
    let list = ListVenuesRequest { page_size: 1, ..Default::default() };
    let of_a_list = service.clients.schedule.list_venues(list).await.expect("a list").into_inner().next_page_token;
    let cursor = steps(&service.clients, from_the_oldest()).await.expect("a stream")[0].cursor.clone();
    assert!(!of_a_list.is_empty());
    let ahead = "UPDATE booking_events SET stream_position = '9000000000000000000'::xid8";

    for forged in ["x", "AAAA", &of_a_list, &cursor[1..], &cursor[..cursor.len() - 3]] {
        let status = steps(&service.clients, after(forged)).await.expect_err("refused");
        assert_eq!(violated(&status), ["after"], "{forged}: {status:?}");
    }
    let all_invalid = StreamBookingEventsRequest {
        after: "x".to_owned(),
        start: 7,
        venue_id: "x".to_owned(),
        booking_id: "x".to_owned(),
        types: [vec!["No Type".to_owned()], vec![CREATED.to_owned(); 20]].concat(),
        ..Default::default()
    };
    let status = steps(&service.clients, all_invalid).await.expect_err("refused");
    assert_eq!(violated(&status), ["after", "start", "venue_id", "booking_id", "types", "types[0]"]);

    // The positions are those of a database that was restored into a cluster with lower transaction ids.
    harness::execute(&service.url, ahead).await;
    let status = steps(&service.clients, from_the_oldest()).await.expect_err("refused");
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "DATA_CORRUPTED");
    harness::execute(&service.url, "SELECT restart_event_stream()").await;
    assert_eq!(events(&service.clients, from_the_oldest()).await.len(), 2);
    let status = steps(&service.clients, after(&cursor)).await.expect_err("refused");
    assert_eq!(violated(&status), ["after"], "{status:?}");
}

fn violated(status: &tonic::Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "INVALID_FIELDS");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}
