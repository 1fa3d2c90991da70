-- Takes away every booking made from $1 on, with all that belongs to it, and tells how many of them were cancelled.
WITH keys AS (
    DELETE FROM idempotency_keys WHERE created_at >= $1::timestamptz
    RETURNING resource_id AS booking_id
),
messages AS (
    DELETE FROM outbox_messages m USING keys WHERE m.aggregate_id = keys.booking_id::text
),
events AS (
    DELETE FROM booking_events e USING keys WHERE e.booking_id = keys.booking_id
),
bookings AS (
    DELETE FROM bookings b USING keys WHERE b.booking_id = keys.booking_id
    RETURNING b.customer_id, b.status
),
customers AS (
    DELETE FROM customers c USING bookings WHERE c.customer_id = bookings.customer_id
)
SELECT count(*) FROM bookings WHERE status = 'CANCELLED'
