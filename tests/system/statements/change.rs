//! The load and commit statements of a change, with arguments that are built from the rows.

use sqlx::{AssertSqlSafe, PgConnection};

use super::run;

const LOAD: &str = include_str!("../../../booking-service/src/bookings/load.sql");
const COMMIT: &str = include_str!("../../../booking-service/src/bookings/commit.sql");

/// Prepares `load` and `commit`.
pub async fn prepare(connection: &mut PgConnection) {
    run(connection, format!("PREPARE load (uuid[], uuid, date, time, text, text, text) AS {LOAD}")).await;
    run(connection, format!("PREPARE commit (jsonb, jsonb, jsonb, jsonb, jsonb, timestamptz) AS {COMMIT}")).await;
}

/// A call of `load` for these bookings.
pub fn load(booking_ids: &[String]) -> String {
    format!("load ('{{{}}}', gen_random_uuid(), NULL, NULL, NULL, NULL, NULL)", booking_ids.join(","))
}

/// The decided changes of bookings, as SQL over their rows.
pub struct Decided<'a> {
    /// A relation of bookings, named `b`.
    pub bookings: &'a str,
    /// The changed columns, as JSON. Their event is added.
    pub becomes: Option<&'a str>,
    /// The change of the reserved seats.
    pub seats: &'a str,
    /// The payments, as JSON.
    pub payments: &'a str,
}

impl Decided<'_> {
    /// A call of `commit`.
    pub async fn call(&self, connection: &mut PgConnection) -> String {
        let Self { bookings, becomes, seats, payments } = self;
        let row = becomes.map_or("NULL".to_owned(), |becomes| {
            format!("to_jsonb(b) || jsonb_build_object('version', version + 1) || '{becomes}'")
        });
        let arguments = format!(
            "SELECT jsonb_agg(jsonb_build_object('booking_id', booking_id, 'version', version, 'booking', {row}))::text,
                    COALESCE(jsonb_agg(jsonb_build_object(
                        'booking_id', booking_id, 'venue_id', venue_id, 'slot_date', slot_date, 'start_time', start_time,
                        'seats', {seats})) FILTER (WHERE {seats} <> 0), '[]')::text,
                    COALESCE(jsonb_agg(jsonb_build_object(
                        'event_id', gen_random_uuid(), 'booking_id', booking_id, 'version', version + 1, 'type', 'x', 'occurred_at', now(),
                        'data', '{{}}', 'previous_hash', event_hash, 'destinations', '[\"event-stream\"]'::jsonb))
                        FILTER (WHERE {}), '[]')::text
             FROM {bookings}",
            becomes.is_some()
        );
        let (rows, seats, events): (String, String, String) =
            sqlx::query_as(AssertSqlSafe(arguments)).fetch_one(connection).await.expect("arguments");
        format!("commit ('{rows}', '{seats}', '{events}', '{payments}', '[]', now())")
    }
}
