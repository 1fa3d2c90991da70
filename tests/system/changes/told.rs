//! What others hear of a change.

use std::{collections::BTreeSet, time::Duration};

use sqlx::types::Json;
use teppan_shared::contract::booking::v1::{StreamBookingEventsRequest, booking_event::Data};
use teppan_tests::harness::{self, Booking, eventually};

use super::{Change, House};
use crate::events::fields_said;

/// One booking of each fate, and the types of their events.
async fn fates(house: &House) -> Vec<&'static str> {
    let (confirmed, missed, lapsed) = (house.book(2).await, house.book(2).await, house.book(2).await);
    house.act(Change::Confirm, &confirmed.booking_id).await.expect("confirmed");
    house.act(Change::Move("19:00"), &confirmed.booking_id).await.expect("moved");
    house.act(Change::Cancel, &confirmed.booking_id).await.expect("cancelled");
    house.act(Change::Confirm, &missed.booking_id).await.expect("confirmed");
    house.begin(&missed.booking_id).await;
    house.act(Change::NoShow, &missed.booking_id).await.expect("nobody came");
    let took_place = house.book(2).await;
    house.act(Change::Confirm, &took_place.booking_id).await.expect("confirmed");
    house.begin(&took_place.booking_id).await;
    house.act(Change::Complete, &took_place.booking_id).await.expect("it took place");
    house.run_out(&lapsed.booking_id).await;
    let mut settings = harness::booking_settings(harness::settings(house.service.url.clone(), &house.service.keys));
    settings.hold_expiry_interval = Duration::from_millis(10);
    let _replica = Booking::configured(settings, house.service.url.clone(), house.service.keys.clone()).await;
    let waiting = "SELECT count(*) FROM bookings WHERE status = 'PENDING'";
    eventually("the hold expires", async || house.service.scalar::<i64>(waiting).await == 0).await;
    vec!["Cancelled", "Completed", "Confirmed", "Created", "Expired", "NoShow", "Rescheduled"]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_the_fields_the_contract_names_and_reaches_the_stream() {
    let house = House::open(10).await;
    let expected = fates(&house).await;
    for name in &expected {
        let kind = if *name == "NoShow" { "no_show".to_owned() } else { name.to_lowercase() };
        let query = format!("SELECT data FROM booking_events WHERE type = 'teppan.booking.{kind}.v1' LIMIT 1");
        let data: Json<serde_json::Map<String, serde_json::Value>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut harness::connect(&house.service.url).await)
            .await
            .expect(name);
        assert_eq!(data.keys().cloned().collect::<BTreeSet<_>>(), fields_said(&format!("Booking{name}"), &data));
    }

    let request = StreamBookingEventsRequest::default();
    let stream = house.service.clients.clone().bookings.stream_booking_events(request).await.expect("a stream");
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
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_service_hears_of_what_there_is_to_schedule_move_or_cancel() {
    let house = House::open(20).await;
    fates(&house).await;
    // Never firm, and without a conversation.
    let waited = house.book(2).await;
    house.act(Change::Resize(3), &waited.booking_id).await.expect("resized");
    house.act(Change::Cancel, &waited.booking_id).await.expect("cancelled");
    let silent = house.book(2).await;
    house.sql(format!("UPDATE bookings SET conversation_id = '' WHERE booking_id = '{}'", silent.booking_id)).await;
    for change in [Change::Confirm, Change::Resize(3), Change::Cancel] {
        house.act(change, &silent.booking_id).await.expect("done");
    }
    let told = "SELECT string_agg(kind || ' ' || count, ', ' ORDER BY kind) FROM (
        SELECT split_part(e.type, '.', 3) AS kind, count(*)
        FROM outbox_messages o JOIN booking_events e USING (event_id, booking_id, version)
        WHERE o.destination = 'conversation-service' GROUP BY 1) AS told";
    assert_eq!(house.service.scalar::<String>(told).await, "cancelled 1, confirmed 3, no_show 1, rescheduled 1");
    // Without NATS nothing waits for it.
    let others = "SELECT count(*) FROM outbox_messages WHERE destination <> 'conversation-service'";
    assert_eq!(house.service.scalar::<i64>(others).await, 0);
}
