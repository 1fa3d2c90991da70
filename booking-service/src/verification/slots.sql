-- verify-events: a page of slots by key, each with the seats that its live bookings take by their events.
--
-- One snapshot, as in bookings.sql: every change of seats writes slot, booking and event in one transaction. The
-- bookings of a slot are found by their rows; $6 are the bookings whose row names another slot than their events.
-- Values of events are compared as text, so that an altered event does not fail a cast. `row_version` identifies the
-- version of the slot's row: while it is the same, the slot's seats are the same.
WITH page AS MATERIALIZED (
    SELECT *, xmin::text AS row_version
    FROM slots
    WHERE (venue_id, slot_date, start_time) > ($1, $2, $3) AND venue_id <= $4
    ORDER BY venue_id, slot_date, start_time
    LIMIT $5
),
candidates AS MATERIALIZED (       -- every booking that may take seats of these slots
    SELECT b.booking_id
    FROM page p
    CROSS JOIN LATERAL (
        SELECT booking_id
        FROM bookings
        WHERE venue_id = p.venue_id AND slot_date = p.slot_date AND start_time = p.start_time
        OFFSET 0
    ) AS b
    UNION
    SELECT unnest($6::uuid[])
),
live AS MATERIALIZED (             -- slot and party size, by the events, of each booking that is PENDING or CONFIRMED
    SELECT slot_event.*
    FROM candidates
    CROSS JOIN LATERAL (
        SELECT data ->> 'status' AS status
        FROM booking_events
        WHERE booking_id = candidates.booking_id
        ORDER BY version DESC
        LIMIT 1
    ) AS last_event
    CROSS JOIN LATERAL (
        SELECT data ->> 'venue_id' AS venue_id, data ->> 'date' AS slot_date, data ->> 'start_time' AS start_time,
               CASE WHEN data ->> 'party_size' ~ '^\d{1,4}$' THEN (data ->> 'party_size')::integer END AS party_size
        FROM booking_events
        WHERE booking_id = candidates.booking_id
          AND type IN ('teppan.booking.created.v1', 'teppan.booking.rescheduled.v1')
        ORDER BY version DESC
        LIMIT 1
    ) AS slot_event
    WHERE last_event.status IN ('BOOKING_STATUS_PENDING', 'BOOKING_STATUS_CONFIRMED')
),
seats AS MATERIALIZED (
    SELECT venue_id, slot_date, start_time, sum(party_size) AS booked
    FROM live
    GROUP BY venue_id, slot_date, start_time
)
SELECT p.venue_id, p.slot_date, p.start_time, p.reserved, p.capacity,
       COALESCE(seats.booked, 0) AS "booked!", p.row_version AS "row_version!"
FROM page p
LEFT JOIN seats ON seats.venue_id = p.venue_id::text AND seats.slot_date = p.slot_date::text
    AND seats.start_time = left(p.start_time::text, 5)
ORDER BY p.venue_id, p.slot_date, p.start_time
