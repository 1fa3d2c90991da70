-- Hold expiry: bookings whose hold has run out become EXPIRED, and their seats are free.
--
-- One row: how many, how many of them were offers, when the first was due, and of how many slots it came out that they had counted
-- fewer seats than these bookings held. The longest due first, 64 at most, each under an event id of $2.
-- Bookings that somebody else changes just now are left to the next run, so that any number of replicas share
-- the work and nobody is waited for while nothing is held. Of what is locked here the bookings come first and
-- the slots by key after them, as everywhere.
WITH due AS MATERIALIZED (
    SELECT *
    FROM bookings
    WHERE hold_expires_at <= $1::timestamptz    -- by `booking_hold` they are PENDING
    ORDER BY hold_expires_at
    LIMIT 64
    FOR NO KEY UPDATE SKIP LOCKED
),
places AS MATERIALIZED (           -- locked one by one, in the order in which all lock them
    SELECT s.*
    FROM (
        SELECT DISTINCT venue_id, slot_date, start_time FROM due ORDER BY venue_id, slot_date, start_time
    ) AS key
    CROSS JOIN LATERAL (
        SELECT venue_id, slot_date, start_time, reserved
        FROM slots
        WHERE venue_id = key.venue_id AND slot_date = key.slot_date AND start_time = key.start_time
        FOR NO KEY UPDATE
    ) AS s
),
seats AS MATERIALIZED (
    SELECT places.venue_id, places.slot_date, places.start_time, places.reserved, sum(due.party_size)::integer AS held
    FROM due
    JOIN places USING (venue_id, slot_date, start_time)
    GROUP BY places.venue_id, places.slot_date, places.start_time, places.reserved
),
freed AS (                         -- a slot that has been miscounted keeps no hold, here or elsewhere, from expiring
    UPDATE slots s
    SET reserved = GREATEST(s.reserved - seats.held, 0)
    FROM seats
    WHERE s.venue_id = seats.venue_id AND s.slot_date = seats.slot_date AND s.start_time = seats.start_time
    RETURNING s.venue_id, s.slot_date, s.start_time
),
expiring AS MATERIALIZED (         -- those whose seats are free, each with the id of its event
    SELECT due.*, ($2::uuid[])[row_number() OVER ()] AS event_id
    FROM due
    JOIN freed USING (venue_id, slot_date, start_time)
),
event AS (                         -- the next link of each booking's chain; no call led to it
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
    SELECT e.event_id, e.booking_id, e.version + 1, 'teppan.booking.expired.v1', $1,
           json_build_object(
               'booking_id', e.booking_id, 'venue_id', e.venue_id, 'date', e.slot_date,
               'start_time', left(e.start_time::text, 5), 'booking_version', e.version + 1,
               'status', 'BOOKING_STATUS_EXPIRED', 'occurred_at', $1, 'conversation_id', e.conversation_id,
               'party_size', e.party_size, 'hold_expired_at', e.hold_expires_at, 'paid_cents', e.paid_cents,
               'refund_due_cents', e.paid_cents, 'currency', e.currency, 'waitlist_entry_id', e.waitlist_entry_id),
           e.event_hash
    FROM expiring e
    RETURNING event_id, booking_id, version, hash
),
booking AS (                       -- the seats are gone: whatever was paid towards them is owed
    UPDATE bookings b
    SET status = 'EXPIRED', hold_expires_at = NULL, refund_due_cents = b.paid_cents,
        version = event.version, event_hash = event.hash, updated_at = $1
    FROM event
    WHERE b.booking_id = event.booking_id
    RETURNING b.waitlist_entry_id
),
messages AS (                      -- it never was firm: there is nothing for conversation-service to cancel
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
    SELECT event.event_id, destination, event.booking_id, event.version, $1, $1
    FROM event, unnest($3::text[]) AS destination
    WHERE destination <> 'conversation-service'
)
SELECT
    (SELECT count(*) FROM booking) AS "expired!",
    (SELECT count(waitlist_entry_id) FROM booking) AS "lapsed!",
    (SELECT count(*) FILTER (WHERE held > reserved) FROM seats) AS "miscounted!",
    (SELECT min(hold_expires_at) FROM expiring) AS "first_due?"
