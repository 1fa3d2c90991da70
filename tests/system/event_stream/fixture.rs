//! A venue, bookings, and events that the test writes directly in the database.

use sqlx::{AssertSqlSafe, PgConnection};
use teppan_shared::contract::booking::v1::{BookingEvent, CreateBookingResponse};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};

/// An open transaction that already has a transaction id.
pub struct Transaction(PgConnection);

impl Transaction {
    pub async fn begin(booking: &Booking) -> Self {
        let mut transaction = Self(harness::connect(&booking.url).await);
        transaction.run("BEGIN; SELECT pg_current_xact_id()").await;
        transaction
    }

    pub async fn run(&mut self, sql: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.0).await.expect("the SQL runs");
    }

    pub async fn commit(mut self) {
        self.run("COMMIT").await;
    }
}

/// A statement that writes copies of the first booking, each with its first event.
pub fn copies(count: u32) -> String {
    format!(
        "WITH original AS (SELECT * FROM bookings b JOIN booking_events e USING (booking_id, version) ORDER BY booking_id LIMIT 1),
        copied AS (
            INSERT INTO bookings
            SELECT (jsonb_populate_record(b, jsonb_build_object(
                'booking_id', gen_random_uuid(), 'confirmation_code', gen_random_uuid()))).*
            FROM original JOIN bookings b USING (booking_id), generate_series(1, {count})
            RETURNING booking_id)
        INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
        SELECT gen_random_uuid(), copied.booking_id, 1, type, occurred_at,
               (data::jsonb || jsonb_build_object('booking_id', copied.booking_id))::json, traceparent, previous_hash
        FROM copied, original"
    )
}

/// A statement that appends the event of a version, given as SQL, to that of the previous version.
pub fn version(booking_id: &str, version: &str) -> String {
    let before = format!("booking_events WHERE booking_id = '{booking_id}' AND version = {version} - 1");
    append(version, &before)
}

/// A statement that appends the events of two consecutive versions.
pub fn two_versions(booking_id: &str, first: &str, second: &str) -> String {
    format!("WITH first AS ({} RETURNING *) {}", version(booking_id, first), append(second, "first"))
}

fn append(version: &str, before: &str) -> String {
    format!(
        "INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
         SELECT gen_random_uuid(), booking_id, {version}, type, occurred_at, data, traceparent, hash FROM {before}"
    )
}

/// A service with a venue that has enough seats for all bookings.
pub async fn venue() -> (Booking, String) {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10_000).await.expect("a venue");
    (booking, venue.venue_id)
}

/// Books for two people.
pub async fn book(booking: &Booking, venue_id: &str) -> CreateBookingResponse {
    let request = fixtures::booking(venue_id, 2);
    booking.clients.clone().bookings.create_booking(request).await.expect("booked").into_inner()
}

/// Books for two people `count` times and returns the ids.
pub async fn book_many(booking: &Booking, venue_id: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(book(booking, venue_id).await.booking.expect("the booking").booking_id);
    }
    ids
}

pub fn subjects(events: &[BookingEvent]) -> Vec<String> {
    events.iter().map(|event| event.subject.clone()).collect()
}
