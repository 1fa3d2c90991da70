-- StreamBookingEvents of one booking ($7): the same as stream_events.sql, but it finds the events by the booking. Its
-- cost does not depend on the number of other events.
WITH own AS MATERIALIZED (
    SELECT * FROM booking_events WHERE booking_id = $7
),
scanned AS MATERIALIZED (
    SELECT e.*, e.data ->> 'venue_id' AS venue_id
    FROM own e
    WHERE (e.stream_position, e.version, e.event_id) > ($1::bigint::text::xid8, $2, $3)
      AND e.stream_position < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY e.stream_position, e.version, e.event_id
    LIMIT $4
),
filtered AS (
    SELECT *, ($5::text IS NULL OR venue_id = $5) AND ($6::text[] IS NULL OR type = ANY ($6)) AS matches
    FROM scanned
),
held_back AS MATERIALIZED (        -- the oldest event that is held back by an open transaction
    SELECT occurred_at
    FROM booking_events
    WHERE stream_position >= pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY stream_position, version, event_id
    LIMIT 1
)
SELECT
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "settled_below!",
    (SELECT occurred_at FROM held_back) AS "held_back_since?",
    s.matches AS "matches?",
    s.stream_position::text::bigint AS "stream_position?",
    s.version AS "version?",
    s.event_id AS "event_id?",
    s.booking_id AS "booking_id?",
    s.venue_id AS "venue_id?",
    s.type AS "type?",
    s.occurred_at AS "occurred_at?",
    CASE WHEN s.matches THEN s.data::text END AS "data?",
    s.traceparent AS "traceparent?",
    s.previous_hash AS "previous_hash?",
    s.hash AS "hash?"
FROM (SELECT) AS always
LEFT JOIN filtered s ON true
ORDER BY s.stream_position, s.version, s.event_id
