//! Services that deliver, bookings with messages, and queries of the outbox.

use std::{net::SocketAddr, time::Duration};

use booking_service::settings::OutboxSettings;
use futures::{StreamExt as _, stream};
use sqlx::AssertSqlSafe;
use teppan_shared::{contract::booking::v1::Booking as Made, keys::Keys, outbox::RelaySettings};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};

/// A service that delivers nothing, and a venue whose bookings need no deposit.
pub async fn quiet() -> (Booking, String) {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::firm_venue(&mut booking.clients, 100_000).await.expect("a venue");
    (booking, venue.venue_id)
}

/// A replica over the same database that delivers to this address.
pub async fn replica(of: &Booking, receiver: SocketAddr, change: impl FnOnce(&mut OutboxSettings)) -> Booking {
    let (url, keys): (_, Keys) = (of.url.clone(), of.keys.clone());
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.outbox = OutboxSettings {
        conversation_service_url: format!("http://{receiver}").parse().expect("a URL"),
        relay: RelaySettings { interval: Duration::from_millis(50), per_second_max: 5000, ..RelaySettings::default() },
        ..OutboxSettings::default()
    };
    change(&mut settings.outbox);
    Booking::configured(settings, url, keys).await.ready().await
}

/// Makes `count` bookings, each with its own conversation.
pub async fn book(booking: &Booking, venue_id: &str, count: usize) -> Vec<Made> {
    let calls = (0..count).map(|_| {
        let (mut clients, request) = (booking.clients.clone(), fixtures::booking(venue_id, 1));
        async move { clients.bookings.create_booking(request).await.expect("booked").into_inner().booking.expect("it") }
    });
    stream::iter(calls).buffer_unordered(16).collect().await
}

/// Appends an event of this type, such as `cancelled`, to a booking, with a message to a destination.
pub async fn append(booking: &Booking, booking_id: &str, kind: &str, destination: &str) {
    let sql = format!(
        "WITH event AS (
            INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
            SELECT gen_random_uuid(), booking_id, version + 1, 'teppan.booking.{kind}.v1', now(), data, traceparent, hash
            FROM booking_events WHERE booking_id = '{booking_id}' ORDER BY version DESC LIMIT 1
            RETURNING *)
         INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
         SELECT event_id, '{destination}', booking_id, version, traceparent, now(), now() FROM event"
    );
    harness::execute(&booking.url, AssertSqlSafe(sql)).await;
}

/// Waits until no message is left to deliver.
pub async fn all_delivered(booking: &Booking) {
    harness::eventually("everything is delivered", async || waiting(booking).await == 0).await;
}

/// Counts messages that are neither delivered nor dead letters.
pub async fn waiting(booking: &Booking) -> i64 {
    booking.scalar("SELECT count(*) FROM outbox_messages WHERE dead_at IS NULL").await
}

/// Counts dead letters.
pub async fn dead(booking: &Booking) -> i64 {
    booking.scalar("SELECT count(*) FROM outbox_messages WHERE dead_at IS NOT NULL").await
}

/// The ids of a booking's events, in order.
pub async fn events(booking: &Booking, booking_id: &str) -> Vec<String> {
    let sql = format!("SELECT event_id::text FROM booking_events WHERE booking_id = '{booking_id}' ORDER BY version");
    let mut connection = harness::connect(&booking.url).await;
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("the events")
}
