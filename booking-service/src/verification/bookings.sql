-- verify-events: a page of bookings by id, each with its events in the order of their versions.
--
-- Returns one row for each event, and one row without an event for a booking that has none. A change writes the
-- booking's row and its event in one transaction. This statement reads both in one snapshot, so a concurrent change
-- never makes a booking differ from its events. The page has $3 bookings of any venue; for bookings of other venues
-- than $4 only the row is read.
WITH page AS MATERIALIZED (
    SELECT * FROM bookings WHERE booking_id BETWEEN $1 AND $2 ORDER BY booking_id LIMIT $3
)
SELECT
    $4::uuid IS NULL OR b.venue_id = $4 AS is_wanted,
    b.*,
    v.time_zone,
    v.time_zone_rules_newest,
    e.event_id,
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
    SELECT event_id, version, type, occurred_at, data::text AS data, previous_hash, hash
    FROM booking_events
    WHERE booking_id = b.booking_id AND ($4::uuid IS NULL OR b.venue_id = $4)
    OFFSET 0
) AS e ON true
ORDER BY b.booking_id, e.version
