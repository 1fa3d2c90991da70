-- RescheduleBooking: the seats of one booking move from its slot to another, or change their number.
--
-- No row: there is no such booking. Otherwise one: the booking as it stands after the call, and
-- `outcome`: CHANGED; DONE, an earlier run of this call, whose answer was lost, changed it: its event $4 is there;
-- UNCHANGED, it had come to that before; else why not, and nothing was written,
-- CONTENDED to be run again.
-- The booking is locked first and everything is decided on the locked row, so that no call decides on
-- what another is just changing. The steps below name rows by their keys alone: any other condition would
-- be tried on the version in the snapshot, and the row left out. Booking, then slots by key, is the order
-- in which all lock them.
--
-- A refusal of the slot comes with the `figure` that explains it. A booking that waited for its deposit
-- and has paid as much as it now comes to becomes firm with it, by a second event ($13).
WITH target AS MATERIALIZED (      -- locked, and read as it is once the lock is there
    SELECT * FROM bookings WHERE booking_id = $1 FOR NO KEY UPDATE
),
wish AS MATERIALIZED (             -- what is not asked for stays
    SELECT t.*,
           COALESCE($8::date, t.slot_date) AS new_date,
           COALESCE($9::time, t.start_time) AS new_time,
           COALESCE($10::integer, t.party_size) AS new_party_size
    FROM target t
),
allowed AS MATERIALIZED (          -- what the booking alone forbids
    SELECT w.*, (w.new_date, w.new_time) = (w.slot_date, w.start_time) AS stays,
        CASE WHEN EXISTS (SELECT FROM booking_events e WHERE e.event_id = $4) THEN 'DONE'
             WHEN w.status = ANY ($3::text[])
                  AND (w.new_date, w.new_time, w.new_party_size) = (w.slot_date, w.start_time, w.party_size)
                  AND COALESCE($11::bigint, w.total_cents) = w.total_cents
                  -- by newer rules of its time zone the same local time may be another instant
                  AND NOT EXISTS (
                      SELECT
                      FROM slots s
                      WHERE s.venue_id = w.venue_id AND s.slot_date = w.slot_date AND s.start_time = w.start_time
                        AND s.starts_at <> w.starts_at
                  ) THEN 'UNCHANGED'
             WHEN w.version <> $2::bigint THEN 'ETAG_MISMATCH'
             WHEN w.status <> ALL ($3) THEN 'WRONG_STATUS'
             WHEN w.hold_expires_at <= $7::timestamptz THEN 'HOLD_EXPIRED'
             -- otherwise who did not come could move the booking, and then cancel it for nothing
             WHEN w.starts_at <= $7 THEN 'STARTED'
        END AS outcome
    FROM wish w
),
places AS MATERIALIZED (           -- both slots, locked by key: two bookings that cross cannot deadlock
    SELECT s AS slot, s.slot_date, s.start_time
    FROM (SELECT venue_id, slot_date, start_time FROM allowed WHERE outcome IS NULL
          UNION
          SELECT venue_id, new_date, new_time FROM allowed WHERE outcome IS NULL) AS key
    JOIN slots s USING (venue_id, slot_date, start_time)
    ORDER BY s.slot_date, s.start_time
    FOR NO KEY UPDATE OF s
),
offer AS MATERIALIZED (            -- the new slot as if the booking's own seats were free
    SELECT a.booking_id, old.slot_date IS NOT NULL AS old_is_seen,
        CASE WHEN a.stays THEN jsonb_populate_record(
                 new.slot, jsonb_build_object('reserved', (new.slot).reserved - a.party_size))
             ELSE new.slot
        END AS slot
    FROM allowed a
    LEFT JOIN places old ON old.slot_date = a.slot_date AND old.start_time = a.start_time
    LEFT JOIN places new ON new.slot_date = a.new_date AND new.start_time = a.new_time
),
gate AS MATERIALIZED (
    SELECT a.*, v.time_zone, price.*, (slot).starts_at AS new_starts_at, (slot).ends_at AS new_ends_at,
        CASE WHEN a.hold_expires_at IS NOT NULL THEN LEAST(a.hold_expires_at, (slot).starts_at)
        END AS new_hold_expires_at,
        (slot).capacity - (slot).reserved AS open_seats,
        v.notice_minutes, v.horizon_days, v.min_party_size, v.max_party_size,
        GREATEST(a.paid_cents - price.total, 0) AS refund_due,
        -- an offer waits for an answer: only who pays, or confirms, takes it
        a.status = ANY ($12::text[]) AND a.deposit_due_cents > a.paid_cents
            AND price.deposit <= a.paid_cents
            AND (a.waitlist_entry_id IS NULL OR a.paid_cents > 0) AS confirms,
        COALESCE(
            a.outcome,
            CASE WHEN NOT offer.old_is_seen THEN 'CONTENDED' END,
            slot_refusal(v, offer.slot, a.new_date, a.new_party_size, $7),
            CASE WHEN price.total <> $11 THEN 'PRICE_CHANGED' END,
            'CHANGED'
        ) AS verdict
    FROM allowed a
    JOIN venues v ON v.venue_id = a.venue_id
    JOIN offer ON offer.booking_id = a.booking_id
    CROSS JOIN LATERAL (
        SELECT per.person AS per_person, per.person * a.new_party_size AS total,
               deposit_cents(per.person * a.new_party_size, v.deposit_percent, a.currency) AS deposit
        FROM (SELECT (slot).price_per_person_cents AS person) AS per
    ) AS price
),
seats AS MATERIALIZED (            -- what each slot gains and loses, one row a slot
    SELECT venue_id, slot_date, start_time, sum(taken)::integer AS taken
    FROM (SELECT venue_id, slot_date, start_time, -party_size AS taken FROM gate WHERE verdict = 'CHANGED'
          UNION ALL
          SELECT venue_id, new_date, new_time, new_party_size FROM gate WHERE verdict = 'CHANGED') AS change
    GROUP BY venue_id, slot_date, start_time
),
moved AS (
    UPDATE slots s
    SET reserved = s.reserved + seats.taken
    FROM seats
    WHERE s.venue_id = seats.venue_id AND s.slot_date = seats.slot_date AND s.start_time = seats.start_time
    RETURNING s.venue_id
),
event AS (                         -- the next link of the booking's chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $4::uuid, gate.booking_id, gate.version + 1, 'teppan.booking.rescheduled.v1', $7,
           json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.new_date,
               'start_time', left(gate.new_time::text, 5), 'booking_version', gate.version + 1,
               'status', 'BOOKING_STATUS_' || gate.status, 'occurred_at', $7,
               'conversation_id', gate.conversation_id, 'previous_date', gate.slot_date,
               'previous_start_time', left(gate.start_time::text, 5), 'previous_party_size', gate.party_size,
               'starts_at', gate.new_starts_at, 'ends_at', gate.new_ends_at, 'time_zone', gate.time_zone,
               'party_size', gate.new_party_size, 'price_per_person_cents', gate.per_person,
               'total_cents', gate.total, 'deposit_due_cents', gate.deposit, 'refund_due_cents', gate.refund_due,
               'currency', gate.currency, 'hold_expires_at', gate.new_hold_expires_at),
           $5::text, gate.event_hash
    FROM gate
    WHERE gate.verdict = 'CHANGED' AND EXISTS (SELECT FROM moved)
    RETURNING event_id, booking_id, version, hash
),
confirmed AS (                     -- the link after it, when the deposit is complete
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $13::uuid, gate.booking_id, event.version + 1, 'teppan.booking.confirmed.v1', $7,
           json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.new_date,
               'start_time', left(gate.new_time::text, 5), 'booking_version', event.version + 1,
               'status', 'BOOKING_STATUS_CONFIRMED', 'occurred_at', $7,
               'conversation_id', gate.conversation_id, 'starts_at', gate.new_starts_at,
               'ends_at', gate.new_ends_at, 'time_zone', gate.time_zone, 'party_size', gate.new_party_size,
               'cause', 'CONFIRMATION_CAUSE_DEPOSIT_PAID', 'seats_retaken', false),
           $5, event.hash
    FROM gate, event
    WHERE gate.confirms
    RETURNING event_id, booking_id, version, hash
),
links AS (
    SELECT *, false AS makes_firm FROM event
    UNION ALL
    SELECT *, true FROM confirmed
),
booking AS (
    UPDATE bookings b
    SET slot_date = gate.new_date, start_time = gate.new_time, starts_at = gate.new_starts_at,
        ends_at = gate.new_ends_at, party_size = gate.new_party_size, price_per_person_cents = gate.per_person,
        total_cents = gate.total, deposit_due_cents = gate.deposit, refund_due_cents = gate.refund_due,
        status = CASE WHEN gate.confirms THEN 'CONFIRMED' ELSE gate.status END,
        confirmed_at = CASE WHEN gate.confirms THEN $7 ELSE gate.confirmed_at END,
        hold_expires_at = CASE WHEN gate.confirms THEN NULL ELSE gate.new_hold_expires_at END,
        version = newest.version, event_hash = newest.hash, updated_at = $7
    FROM gate, (SELECT * FROM links ORDER BY version DESC LIMIT 1) AS newest
    WHERE b.booking_id = newest.booking_id
    RETURNING b.*
),
messages AS (                      -- what is firm is asked about later or earlier now
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT links.event_id, destination, links.booking_id, links.version, $5, $7, $7
    FROM links, gate, unnest($6::text[]) AS destination
    WHERE destination <> 'conversation-service'
       OR gate.conversation_id <> '' AND (gate.confirmed_at IS NOT NULL OR links.makes_firm)
),
stands AS (                        -- the booking as it is now
    SELECT * FROM booking
    UNION ALL
    SELECT * FROM target WHERE NOT EXISTS (SELECT FROM booking)
)
SELECT
    gate.verdict AS "outcome!",
    CASE gate.verdict
        WHEN 'SLOT_FULL' THEN gate.open_seats
        WHEN 'INSUFFICIENT_NOTICE' THEN gate.notice_minutes
        WHEN 'TOO_FAR_AHEAD' THEN gate.horizon_days
        WHEN 'PARTY_TOO_SMALL' THEN gate.min_party_size
        WHEN 'PARTY_TOO_LARGE' THEN gate.max_party_size
        WHEN 'PRICE_CHANGED' THEN gate.total
    END::bigint AS "figure?",
    stands.booking_id AS "booking_id!",
    stands.confirmation_code AS "confirmation_code!",
    stands.status AS "status!",
    stands.venue_id AS "venue_id!",
    stands.slot_date AS "slot_date!",
    stands.start_time AS "start_time!",
    gate.time_zone AS "time_zone!",
    stands.starts_at AS "starts_at!",
    stands.ends_at AS "ends_at!",
    stands.customer_id AS "customer_id!",
    stands.party_size AS "party_size!",
    stands.price_per_person_cents AS "price_per_person_cents!",
    stands.total_cents AS "total_cents!",
    stands.deposit_due_cents AS "deposit_due_cents!",
    stands.paid_cents AS "paid_cents!",
    stands.refunded_cents AS "refunded_cents!",
    stands.refund_due_cents AS "refund_due_cents!",
    stands.currency AS "currency!",
    stands.hold_expires_at AS "hold_expires_at?",
    stands.confirmed_at AS "confirmed_at?",
    stands.cancelled_at AS "cancelled_at?",
    stands.cancelled_by AS "cancelled_by?",
    stands.conversation_id AS "conversation_id!",
    stands.special_requests_sealed AS "special_requests_sealed?",
    stands.source AS "source!",
    stands.waitlist_entry_id AS "waitlist_entry_id?",
    stands.version AS "version!",
    stands.created_at AS "created_at!",
    stands.updated_at AS "updated_at!"
FROM gate, stands
