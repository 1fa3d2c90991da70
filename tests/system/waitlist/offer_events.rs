//! The events of an offer.

use std::collections::BTreeSet;

use sqlx::types::Json;
use teppan_shared::contract::booking::v1::{
    BookingEvent, StreamBookingEventsRequest, WaitlistEntryStatus, booking_event::Data,
};

use super::{assert_sound, becomes, join, service_with_fast_workers};
use crate::{
    changes::{Change, VenueFixture},
    events::fields_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_the_second_event_of_its_booking_in_the_table_and_in_the_stream() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let offered = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    for (kind, message) in [("booking.created", "BookingCreated"), ("waitlist.offered", "WaitlistOffered")] {
        let query = format!(
            "SELECT data FROM booking_events WHERE booking_id = '{}' AND type = 'teppan.{kind}.v1'",
            offered.booking_id
        );
        let data: Json<serde_json::Map<String, serde_json::Value>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut teppan_tests::harness::connect(&fixture.service.url).await)
            .await
            .expect(kind);
        let mut expected = fields_of(message);
        // Its venue has no floor.
        expected.remove("occupied_until");
        assert_eq!(data.keys().cloned().collect::<BTreeSet<_>>(), expected);
    }

    let events = events_of(&fixture, &offered.booking_id).await;
    assert_eq!(events.iter().map(|event| event.booking_version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(events[1].previous_hash, events[0].hash);
    assert_eq!(events[1].r#type, "teppan.waitlist.offered.v1");
    match [&events[0].data, &events[1].data] {
        [Some(Data::BookingCreated(created)), Some(Data::WaitlistOffered(event))] => {
            assert_eq!(created.waitlist_entry_id, entry.waitlist_entry_id);
            assert_eq!((&event.waitlist_entry_id, &event.customer_id), (&entry.waitlist_entry_id, &entry.customer_id));
            assert_eq!(event.conversation_id, entry.conversation_id);
            assert_eq!(event.offer_expires_at, offered.offer_expires_at);
            assert_eq!((event.booking_version, event.party_size, event.deposit_cents), (2, 2, 1750));
        }
        other => panic!("{other:?}"),
    }
    // The offered booking is not firm, so no follow-up is scheduled until it is confirmed.
    let messages = "SELECT count(*) FROM outbox_messages";
    assert_eq!(fixture.service.scalar::<i64>(messages).await, 0);
    fixture.act(Change::Confirm, &offered.booking_id).await.expect("taken");
    assert_eq!(fixture.service.scalar::<i64>(messages).await, 1);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn booking_expired_names_the_entry_of_a_lapsed_offer_and_none_for_other_holds() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    fixture.expire_hold(&made.booking_id).await;
    let offered = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    fixture.expire_hold(&offered.booking_id).await;
    becomes(&fixture, &entry, WaitlistEntryStatus::Lapsed).await;
    for (booking_id, entry_id) in [(&offered.booking_id, &entry.waitlist_entry_id), (&made.booking_id, &String::new())]
    {
        let events = events_of(&fixture, booking_id).await;
        let Some(Data::BookingExpired(expired)) = &events.last().expect("events").data else { panic!("{events:?}") };
        assert_eq!(&expired.waitlist_entry_id, entry_id);
    }
    assert_sound(&fixture).await;
}

/// A booking's events in the stream.
async fn events_of(fixture: &VenueFixture, booking_id: &str) -> Vec<BookingEvent> {
    let request = StreamBookingEventsRequest { booking_id: booking_id.to_owned(), ..Default::default() };
    let stream = fixture.service.clients.clone().bookings.stream_booking_events(request).await.expect("a stream");
    let mut stream = stream.into_inner();
    let mut events = Vec::new();
    while let Some(step) = stream.message().await.expect("a step") {
        events.extend(step.event);
    }
    events
}
