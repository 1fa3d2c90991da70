//! One batch of the outbox relay: 64 messages claimed, and recorded as delivered.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use sqlx::{Row as _, postgres::PgRow};

use crate::{GrowthError, Sized, timed};

const CLAIM: &str = include_str!("../../../../shared/src/outbox/claim.sql");
const RECORD: &str = include_str!("../../../../shared/src/outbox/record.sql");
const DESTINATION: &str = "conversation-service";
const BATCH: i64 = 64;

/// Bookings with their first event, all delivered: the outbox has no messages for them.
pub const FILL: &str = "
    INSERT INTO venues (venue_id, name, time_zone, currency, min_party_size, max_party_size, notice_minutes, horizon_days,
        hold_minutes, deposit_percent, full_refund_hours, late_refund_percent, waitlist_hold_minutes, phone_region,
        utc_offset_seconds, next_utc_offset_seconds, time_zone_rules, time_zone_rules_newest, created_at, updated_at)
    VALUES ('00000000-0000-0000-0000-000000000001', 'Growth', 'UTC', 'EUR', 1, 50, 240, 90, 120, 0, 24, 50, 30, 'US', 0, 0,
        '9999z', '9999z', now(), now())
    --;
    INSERT INTO slots (venue_id, slot_date, start_time, starts_at, ends_at, capacity, reserved, price_per_person_cents)
    VALUES ('00000000-0000-0000-0000-000000000001', '2030-01-01', '18:00', '2030-01-01T18:00Z', '2030-01-01T20:00Z',
        $count, $count, 100)
    --;
    INSERT INTO customers (customer_id, email_hash, contact_sealed, version, created_at, updated_at)
    VALUES ('00000000-0000-0000-0000-000000000002', sha256(''), '', 1, now(), now())
    --;
    INSERT INTO bookings (booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
        party_size, price_per_person_cents, total_cents, deposit_cents, currency, confirmed_at, details_sealed, version,
        event_hash, created_at, updated_at)
    SELECT md5(n::text)::uuid, 'G' || n, 'CONFIRMED', '00000000-0000-0000-0000-000000000001', '2030-01-01', '18:00',
        '2030-01-01T18:00Z', '2030-01-01T20:00Z', '00000000-0000-0000-0000-000000000002', 1, 100, 100, 0, 'EUR', now(), '', 1,
        sha256(''), now(), now()
    FROM generate_series(1, $count) AS n
    --;
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
    SELECT md5('e' || n)::uuid, md5(n::text)::uuid, 1, 'teppan.booking.created.v1', now(), '{}', ''
    FROM generate_series(1, $count) AS n";

/// A booking's event and message, as CreateBooking writes them.
const WRITE: &str = "
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
    SELECT DISTINCT md5('e' || n)::uuid, 'conversation-service', md5(n::text)::uuid, 1, now(), now()
    FROM (SELECT 1 + floor(random() * $1)::int AS n FROM generate_series(1, 64)) AS r";

pub async fn run(database: &mut Sized) -> Result<Duration, GrowthError> {
    let count = i32::try_from(database.count).unwrap_or(i32::MAX);
    let written = sqlx::query(WRITE).bind(count).execute(&mut database.connection).await?.rows_affected();
    let now = Utc::now() + TimeDelta::seconds(1);
    let claim = sqlx::query(CLAIM).bind(DESTINATION).bind(now).bind(now + TimeDelta::seconds(30));
    let claim = claim.bind(BATCH).bind(None::<String>);
    let (claimed, claiming) = timed(claim.fetch_all(&mut database.connection)).await?;
    assert_eq!(u64::try_from(claimed.len()), Ok(written), "all of them were claimed");

    let record = sqlx::query(RECORD)
        .bind(DESTINATION)
        .bind(now)
        .bind(column::<String>(&claimed, "aggregate_id?"))
        .bind(column::<i64>(&claimed, "version?"))
        .bind(column::<i64>(&claimed, "claim?"))
        .bind(vec!["DELIVERED"; claimed.len()])
        .bind(vec![""; claimed.len()])
        .bind(vec![now; claimed.len()]);
    let (row, recording) = timed(record.fetch_one(&mut database.connection)).await?;
    let delivered: i64 = row.get("delivered!");
    assert_eq!(u64::try_from(delivered), Ok(written), "all of them were recorded");
    Ok(claiming + recording)
}

fn column<T>(rows: &[PgRow], name: &str) -> Vec<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    rows.iter().map(|row| row.get(name)).collect()
}
