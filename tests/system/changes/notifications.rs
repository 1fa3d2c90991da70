//! The events of changes, and what conversation-service receives of them.

use std::{collections::BTreeSet, time::Duration};

use sqlx::types::Json;
use teppan_shared::contract::booking::v1::{StreamBookingEventsRequest, booking_event::Data};
use teppan_tests::harness::{self, Booking, eventually};

use super::{Change, VenueFixture};
use crate::events::fields_in_json;

/// Makes one booking for each way a booking can end. Returns the types of their events.
async fn book_every_outcome(fixture: &VenueFixture) -> Vec<&'static str> {
    let (confirmed, missed, expired) = (fixture.book(2).await, fixture.book(2).await, fixture.book(2).await);
    fixture.act(Change::Confirm, &confirmed.booking_id).await.expect("confirmed");
    fixture.act(Change::Move("19:00"), &confirmed.booking_id).await.expect("moved");
    fixture.act(Change::Cancel, &confirmed.booking_id).await.expect("cancelled");
    fixture.act(Change::Confirm, &missed.booking_id).await.expect("confirmed");
    fixture.mark_started(&missed.booking_id).await;
    fixture.act(Change::NoShow, &missed.booking_id).await.expect("marked as a no-show");
    let took_place = fixture.book(2).await;
    fixture.act(Change::Confirm, &took_place.booking_id).await.expect("confirmed");
    fixture.mark_started(&took_place.booking_id).await;
    fixture.act(Change::Complete, &took_place.booking_id).await.expect("it took place");
    fixture.expire_hold(&expired.booking_id).await;
    let mut settings = harness::booking_settings(harness::settings(fixture.service.url.clone(), &fixture.service.keys));
    settings.hold_expiry_interval = Duration::from_millis(10);
    let _replica = Booking::configured(settings, fixture.service.url.clone(), fixture.service.keys.clone()).await;
    let pending = "SELECT count(*) FROM bookings WHERE status = 'PENDING'";
    eventually("the hold expires", async || fixture.service.scalar::<i64>(pending).await == 0).await;
    vec!["Cancelled", "Completed", "Confirmed", "Created", "Expired", "NoShow", "Rescheduled"]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_change_has_the_fields_of_the_contract_and_reaches_the_stream() {
    let fixture = VenueFixture::with_deposit(10).await;
    let expected = book_every_outcome(&fixture).await;
    for name in &expected {
        let kind = if *name == "NoShow" { "no_show".to_owned() } else { name.to_lowercase() };
        let query = format!("SELECT data FROM booking_events WHERE type = 'teppan.booking.{kind}.v1' LIMIT 1");
        let data: Json<serde_json::Map<String, serde_json::Value>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut harness::connect(&fixture.service.url).await)
            .await
            .expect(name);
        let given = data.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone());
        assert_eq!(given.collect::<BTreeSet<_>>(), fields_in_json(&format!("Booking{name}"), &data));
    }

    let request = StreamBookingEventsRequest::default();
    let stream = fixture.service.clients.clone().bookings.stream_booking_events(request).await.expect("a stream");
    let mut stream = stream.into_inner();
    let mut seen = BTreeSet::new();
    while let Some(step) = stream.message().await.expect("a step") {
        let Some(event) = step.event else { continue };
        let data = event.data.expect("readable");
        let version = match &data {
            Data::BookingCreated(data) => data.booking_version,
            Data::BookingConfirmed(data) => data.booking_version,
            Data::BookingRescheduled(data) => {
                assert_eq!((&*data.previous_start_time, &*data.start_time, data.party_size), ("18:00", "19:00", 2));
                data.booking_version
            }
            Data::BookingCancelled(data) => data.booking_version,
            Data::BookingExpired(data) => data.booking_version,
            Data::BookingCompleted(data) => data.booking_version,
            Data::BookingNoShow(data) => data.booking_version,
            other => panic!("{other:?}"),
        };
        assert_eq!(version, event.booking_version);
        seen.insert(format!("{data:?}").split('(').next().unwrap_or_default().replace("Booking", ""));
    }
    assert_eq!(seen, expected.into_iter().map(ToOwned::to_owned).collect());
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_service_receives_only_the_changes_that_affect_follow_ups() {
    let fixture = VenueFixture::with_deposit(20).await;
    book_every_outcome(&fixture).await;
    // Neither of these is reported: one booking is never confirmed, the other has no conversation.
    let unconfirmed = fixture.book(2).await;
    fixture.act(Change::Resize(3), &unconfirmed.booking_id).await.expect("resized");
    fixture.act(Change::Cancel, &unconfirmed.booking_id).await.expect("cancelled");
    let without_conversation = fixture.book(2).await;
    fixture
        .sql(format!(
            "UPDATE bookings SET conversation_id = '' WHERE booking_id = '{}'",
            without_conversation.booking_id
        ))
        .await;
    for change in [Change::Confirm, Change::Resize(3), Change::Cancel] {
        fixture.act(change, &without_conversation.booking_id).await.expect("done");
    }
    let delivered = "SELECT string_agg(kind || ' ' || count, ', ' ORDER BY kind) FROM (
        SELECT split_part(e.type, '.', 3) AS kind, count(*)
        FROM outbox_messages o JOIN booking_events e USING (event_id, version)
        WHERE o.destination = 'conversation-service' GROUP BY 1) AS messages";
    assert_eq!(fixture.service.scalar::<String>(delivered).await, "cancelled 1, confirmed 3, no_show 1, rescheduled 1");
    // NATS is not configured, so no message is queued for it.
    let others = "SELECT count(*) FROM outbox_messages WHERE destination <> 'conversation-service'";
    assert_eq!(fixture.service.scalar::<i64>(others).await, 0);
}
