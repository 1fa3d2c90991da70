-- Time zone rules: bookings follow their slot to the instant that its local time is by newer rules, each by an event.
--
-- One row: how many bookings were looked at, the next 200 of the venue from the date $2 on, behind ($3, $4, $5),
-- and the last of them; how many were corrected. Those that can still take place, and do not begin when their slot
-- does; each under an event id of $7. Local date and time stay, and so does the length.
--
-- Bookings are locked first, and slots by key after them, as everywhere. What the snapshot shows is only where to
-- look: what is written follows from the rows as they are once their locks are there.
WITH page AS MATERIALIZED (
    SELECT booking_id, venue_id, slot_date, start_time, starts_at, status
    FROM bookings
    WHERE venue_id = $1 AND slot_date >= $2 AND (slot_date, start_time, booking_id) > ($3::date, $4::time, $5::uuid)
    ORDER BY slot_date, start_time, booking_id
    LIMIT 200
),
differing AS MATERIALIZED (
    SELECT p.booking_id
    FROM page p
    JOIN slots s USING (venue_id, slot_date, start_time)
    WHERE s.starts_at <> p.starts_at AND p.status = ANY ($8::text[])
      AND GREATEST(s.starts_at, p.starts_at) > $6::timestamptz
),
target AS MATERIALIZED (
    SELECT b.*
    FROM differing
    JOIN bookings b USING (booking_id)
    ORDER BY b.booking_id
    FOR NO KEY UPDATE OF b
),
places AS MATERIALIZED (           -- locked one by one, in the order in which all lock them
    SELECT s.*
    FROM (
        SELECT DISTINCT venue_id, slot_date, start_time FROM target ORDER BY venue_id, slot_date, start_time
    ) AS key
    CROSS JOIN LATERAL (
        SELECT venue_id, slot_date, start_time, starts_at
        FROM slots
        WHERE venue_id = key.venue_id AND slot_date = key.slot_date AND start_time = key.start_time
        FOR NO KEY UPDATE
    ) AS s
),
gate AS MATERIALIZED (
    SELECT t.*, v.time_zone, places.starts_at AS new_starts_at,
           places.starts_at + (t.ends_at - t.starts_at) AS new_ends_at,
           CASE WHEN t.hold_expires_at IS NOT NULL THEN LEAST(t.hold_expires_at, places.starts_at) END AS new_hold_expires_at,
           ($7::uuid[])[row_number() OVER ()] AS event_id
    FROM target t
    JOIN places USING (venue_id, slot_date, start_time)
    JOIN venues v USING (venue_id)
    WHERE places.starts_at <> t.starts_at AND t.status = ANY ($8) AND GREATEST(places.starts_at, t.starts_at) > $6
),
event AS (                         -- the next link of each booking's chain; no call led to it
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
    SELECT g.event_id, g.booking_id, g.version + 1, 'teppan.booking.instant_corrected.v1', $6,
           json_build_object(
               'booking_id', g.booking_id, 'venue_id', g.venue_id, 'date', g.slot_date,
               'start_time', left(g.start_time::text, 5), 'booking_version', g.version + 1,
               'status', 'BOOKING_STATUS_' || g.status, 'occurred_at', $6, 'conversation_id', g.conversation_id,
               'previous_starts_at', g.starts_at, 'starts_at', g.new_starts_at, 'ends_at', g.new_ends_at,
               'time_zone', g.time_zone, 'time_zone_rules', $9::text, 'hold_expires_at', g.new_hold_expires_at),
           g.event_hash
    FROM gate g
    RETURNING event_id, booking_id, version, hash
),
booking AS (
    UPDATE bookings b
    SET starts_at = g.new_starts_at, ends_at = g.new_ends_at, hold_expires_at = g.new_hold_expires_at,
        version = event.version, event_hash = event.hash, updated_at = $6
    FROM gate g
    JOIN event USING (booking_id)
    WHERE b.booking_id = g.booking_id
    RETURNING b.booking_id
),
messages AS (                      -- what is firm is asked about later or earlier now
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
    SELECT event.event_id, destination, event.booking_id, event.version, $6, $6
    FROM event
    JOIN gate g USING (booking_id)
    CROSS JOIN unnest($10::text[]) AS destination
    WHERE destination <> 'conversation-service' OR g.status = 'CONFIRMED' AND g.conversation_id <> ''
)
SELECT
    (SELECT count(*) FROM page) AS "looked_at!",
    (SELECT count(*) FROM booking) AS "corrected!",
    last.slot_date AS "slot_date?", last.start_time AS "start_time?", last.booking_id AS "booking_id?"
FROM (SELECT) AS always
LEFT JOIN (
    SELECT slot_date, start_time, booking_id FROM page ORDER BY slot_date DESC, start_time DESC, booking_id DESC LIMIT 1
) AS last ON true
