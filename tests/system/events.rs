use std::collections::BTreeSet;

use chrono::{DateTime, TimeZone as _, Utc};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sqlx::types::Json;
use teppan_shared::contract;
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use uuid::Uuid;

#[derive(sqlx::FromRow)]
struct Event {
    event_id: Uuid,
    booking_id: Uuid,
    version: i64,
    r#type: String,
    occurred_at: DateTime<Utc>,
    data: String,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

/// Computes the hash of an event as the migration of booking_events documents it.
fn hash_of(event: &Event) -> Vec<u8> {
    let epoch = Utc.with_ymd_and_hms(2000, 1, 1, 0, 0, 0).single().expect("an instant");
    let microseconds = (event.occurred_at - epoch).num_microseconds().expect("within range");
    let mut hash = Sha256::new();
    for part in [
        &event.previous_hash[..],
        event.event_id.as_bytes(),
        event.booking_id.as_bytes(),
        &event.version.to_be_bytes(),
        &microseconds.to_be_bytes(),
        event.r#type.as_bytes(),
        event.data.as_bytes(),
    ] {
        hash.update(part);
    }
    hash.finalize().to_vec()
}

async fn the_event(booking: &Booking) -> Event {
    let query = "SELECT event_id, booking_id, version, type, occurred_at, data::text, previous_hash, hash
                 FROM booking_events";
    sqlx::query_as(query).fetch_one(&mut harness::connect(&booking.url).await).await.expect("one event")
}

/// A service with one booking, which is pending.
async fn booked() -> Booking {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)).await.expect("booked");
    booking
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_event_no_longer_matches_the_hash_of_its_booking() {
    let booking = booked().await;
    let event = the_event(&booking).await;
    assert!(event.previous_hash.is_empty() && event.version == 1);
    assert_eq!(event.hash, hash_of(&event));
    let linked =
        "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id, version) WHERE e.hash = b.event_hash";
    assert_eq!(booking.scalar::<i64>(linked).await, 1);

    for alter in [
        "UPDATE booking_events SET data = replace(data::text, '7000', '7001')::json",
        "UPDATE booking_events SET occurred_at = occurred_at + interval '1 microsecond'",
        r#"UPDATE booking_events SET data = '{"x": "\\ \u00e9 é"}'"#,
    ] {
        harness::execute(&booking.url, alter).await;
        let altered = the_event(&booking).await;
        assert_eq!(altered.hash, hash_of(&altered), "{alter}");
        assert_eq!(booking.scalar::<i64>(linked).await, 0, "{alter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_has_every_field_of_the_contract_with_the_values_of_the_booking() {
    let booking = booked().await;
    let data: Json<serde_json::Map<String, serde_json::Value>> =
        booking.scalar("SELECT data FROM booking_events").await;
    assert_eq!(data.keys().cloned().collect::<BTreeSet<_>>(), fields_of("BookingCreated"));

    let agrees =
        "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id) JOIN venues v USING (venue_id)
        WHERE (e.data->>'total_cents')::bigint = b.total_cents AND e.data->>'status' = 'BOOKING_STATUS_' || b.status
          AND (e.data->>'deposit_cents')::bigint = b.deposit_cents AND e.data->>'currency' = b.currency
          AND (e.data->>'price_per_person_cents')::bigint = b.price_per_person_cents
          AND (e.data->>'party_size')::int = b.party_size AND (e.data->>'booking_version')::bigint = b.version
          AND e.data->>'venue_id' = b.venue_id::text AND e.data->>'customer_id' = b.customer_id::text
          AND e.data->>'confirmation_code' = b.confirmation_code AND e.data->>'conversation_id' = b.conversation_id
          AND (e.data->>'date')::date = b.slot_date AND e.data->>'start_time' = '18:00'
          AND e.data->>'time_zone' = v.time_zone
          AND (e.data->>'starts_at')::timestamptz = b.starts_at AND (e.data->>'ends_at')::timestamptz = b.ends_at
          AND (e.data->>'occurred_at')::timestamptz = b.created_at
          AND (e.data->>'hold_expires_at')::timestamptz = b.hold_expires_at";
    assert_eq!(booking.scalar::<i64>(agrees).await, 1, "{data:?}");
}

/// The field names of a message of `teppan.events.v1`.
pub fn fields_of(message: &str) -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(contract::DESCRIPTORS).expect("the contract's descriptors");
    let events = files.file.iter().filter(|file| file.package() == "teppan.events.v1");
    let found = events.flat_map(|file| &file.message_type).find(|described| described.name() == message);
    found.expect("the message is described").field.iter().map(|field| field.name().to_owned()).collect()
}

/// The fields that the JSON of an event must have: all fields of its message, but `hold_expires_at` only while the
/// booking is pending, and `occupied_until` only if it has an area.
pub fn fields_in_json(message: &str, event: &serde_json::Map<String, serde_json::Value>) -> BTreeSet<String> {
    let mut fields = fields_of(message);
    if event["status"] != "BOOKING_STATUS_PENDING" {
        fields.remove("hold_expires_at");
    }
    if event.get("area").is_none_or(|area| area == "") {
        fields.remove("occupied_until");
    }
    fields
}
