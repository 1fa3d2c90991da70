-- verify-events: a page of bookings by id, each with its payments, and its events in the order of their versions.
--
-- Returns one row for each event, and one row without an event for a booking that has none. A change writes the
-- booking's row, its event and its payments in one transaction. This statement reads them in one snapshot, so a
-- concurrent change never makes a booking differ from its events or payments. The page has $3 bookings of any venue;
-- for bookings of other venues than $4 only the row is read.
WITH page AS MATERIALIZED (
    SELECT * FROM bookings WHERE booking_id BETWEEN $1 AND $2 ORDER BY booking_id LIMIT $3
)
SELECT
    $4::uuid IS NULL OR b.venue_id = $4 AS is_wanted,
    b.*,
    v.time_zone,
    v.time_zone_rules_newest,
    p.payments,
    e.event_id,
    e.stream_position AS event_stream_position,
    e.version AS event_version,
    e.type AS event_type,
    e.occurred_at AS event_occurred_at,
    e.data AS event_data,
    e.previous_hash AS event_previous_hash,
    e.hash AS event_own_hash
FROM page b
JOIN venues v ON v.venue_id = b.venue_id
-- OFFSET 0 makes the planner read the events booking by booking
LEFT JOIN LATERAL (
    SELECT event_id, stream_position::text::bigint AS stream_position, version, type, occurred_at,
           data::text AS data, previous_hash, hash
    FROM booking_events
    WHERE booking_id = b.booking_id AND ($4::uuid IS NULL OR b.venue_id = $4)
    OFFSET 0
) AS e ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'payment_id', payment_id, 'kind', kind, 'method', method, 'status', status,
               'amount_cents', amount_cents, 'refunded_cents', refunded_cents, 'disputed_cents', disputed_cents,
               'refund_of', refund_of, 'is_extra', is_extra)) AS payments
    FROM payments
    WHERE booking_id = b.booking_id AND ($4::uuid IS NULL OR b.venue_id = $4)
    OFFSET 0
) AS p ON true
ORDER BY b.booking_id, e.version
