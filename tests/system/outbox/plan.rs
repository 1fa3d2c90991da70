//! The cost of claiming and recording does not depend on the length of the queue.

use sqlx::AssertSqlSafe;

use super::{
    claims::Relay,
    stage::{book, quiet},
};
use crate::event_stream::explain::{buffers, plan};

/// Copies of the first booking, with one message each.
const COPIES: &str = "
    WITH copied AS (
        INSERT INTO bookings
        SELECT (jsonb_populate_record(b, jsonb_build_object(
            'booking_id', gen_random_uuid(), 'confirmation_code', gen_random_uuid()))).*
        FROM bookings b, generate_series(1, 20000)
        WHERE b.booking_id = (SELECT booking_id FROM bookings LIMIT 1)
        RETURNING booking_id),
    events AS (
        INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
        SELECT gen_random_uuid(), copied.booking_id, 1, type, occurred_at, data, traceparent, previous_hash
        FROM copied, (SELECT * FROM booking_events LIMIT 1) AS original
        RETURNING event_id, booking_id)
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
    SELECT event_id, 'conversation-service', booking_id, 1, now(), now() - interval '1 minute' * random() FROM events";

const CLAIM: &str = "claim ('conversation-service', now(), now() + interval '1 minute', 64, NULL)";

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_its_results_cost_the_same_however_long_the_queue_is() {
    let (service, venue) = quiet().await;
    book(&service, &venue, 1).await;
    let mut relay = Relay::over(&service).await;
    // The statements are planned while the queue is nearly empty, as just after the start of a service.
    relay.run("BEGIN").await;
    let empty = plan(&mut relay.0, CLAIM).await;
    relay.run("ROLLBACK").await;
    assert!(empty.contains("Index Scan using outbox_messages_due"), "{empty}");
    relay.run(COPIES).await;

    for analyzed in [false, true] {
        if analyzed {
            relay.run("ANALYZE").await;
        }
        relay.run("BEGIN").await;
        let claim = plan(&mut relay.0, CLAIM).await;
        assert!(claim.contains("Index Scan using outbox_messages_due"), "{claim}");
        assert!(!claim.contains("Seq Scan") && !claim.contains("Rows Removed by Index"), "{claim}");
        assert!(!claim.contains("on outbox_messages_pkey"), "no index is read as a whole: {claim}");
        assert!(buffers(&claim) < 3000, "{claim}");

        let leased = "SELECT format('%L, %L, %L', array_agg(aggregate_id), array_agg(version), array_agg(claims))
                      FROM outbox_messages WHERE lease_expires_at IS NOT NULL";
        let leased: String = sqlx::query_scalar(leased).fetch_one(&mut relay.0).await.expect("leased");
        let each = |value: &str| format!("'{{{}}}'", [value; 64].join(","));
        let (outcomes, times) = (each("DELIVERED"), each("2100-01-01"));
        let record = format!("record ('conversation-service', now(), {leased}, {outcomes}, {}, {times})", each("X"));
        let recorded = plan(&mut relay.0, &record).await;
        assert!(!recorded.contains("Seq Scan"), "{recorded}");
        let removed = recorded.lines().find(|line| line.contains("Delete on outbox_messages")).expect("a step");
        assert!(removed.contains("actual rows=64"), "{recorded}");
        assert!(buffers(&recorded) < 2500, "{recorded}");
        relay.run("ROLLBACK").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_messages_do_not_delay_the_next_claims() {
    let (service, venue) = quiet().await;
    let made = book(&service, &venue, 1).await.remove(0);
    let mut relay = Relay::over(&service).await;
    relay.run(COPIES).await;
    // Each booking has a second message; the first ones have long leases.
    let behind = "
        INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
        SELECT gen_random_uuid(), booking_id, 2, type, occurred_at, data, hash FROM booking_events;
        UPDATE outbox_messages
        SET claims = 1, attempts = 1, next_attempt_at = '2100-01-01', lease_expires_at = '2100-01-01';
        INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
        SELECT event_id, 'conversation-service', booking_id, 2, now(), now() - interval '1 minute'
        FROM booking_events WHERE version = 2 LIMIT 640";
    relay.run(behind).await;
    let free = format!(
        "UPDATE outbox_messages SET next_attempt_at = now() - interval '1 second', lease_expires_at = NULL
         WHERE aggregate_id = '{}' AND version = 1",
        made.booking_id
    );
    sqlx::raw_sql(AssertSqlSafe(free)).execute(&mut relay.0).await.expect("freed");
    let mut claims = 0;
    while relay.claim(64, std::time::Duration::from_mins(1)).await.is_empty() {
        claims += 1;
        assert!(claims <= 10, "blocked messages stay at the head of the queue");
    }
}
