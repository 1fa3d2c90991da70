-- ConfirmBooking: a booking that waits becomes firm.
--
-- No row: there is no such booking. Otherwise one: the booking as it stands after the call, and
-- `outcome`: CHANGED; DONE, an earlier run of this call, whose answer was lost, changed it: its event $4 is there;
-- UNCHANGED, it had come to that before; else why not, and nothing was written.
-- The booking is locked first and everything is decided on the locked row, so that no call decides on
-- what another is just changing. The steps below name rows by their keys alone: any other condition would
-- be tried on the version in the snapshot, and the row left out. Booking, then slots by key, is the order
-- in which all lock them.
WITH target AS MATERIALIZED (      -- locked, and read as it is once the lock is there
    SELECT * FROM bookings WHERE booking_id = $1 FOR NO KEY UPDATE
),
gate AS MATERIALIZED (
    SELECT t.*, v.time_zone,
        CASE WHEN EXISTS (SELECT FROM booking_events e WHERE e.event_id = $4) THEN 'DONE'
             WHEN t.status = 'CONFIRMED' THEN 'UNCHANGED'
             WHEN t.version <> $2::bigint THEN 'ETAG_MISMATCH'
             WHEN t.status <> ALL ($3::text[]) THEN 'WRONG_STATUS'
             -- its seats count as taken until the worker frees them, but they are promised no longer
             WHEN t.hold_expires_at <= $7::timestamptz THEN 'HOLD_EXPIRED'
             ELSE 'CHANGED'
        END AS outcome
    FROM target t
    JOIN venues v ON v.venue_id = t.venue_id
),
event AS (                         -- the next link of the booking's chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $4::uuid, gate.booking_id, gate.version + 1, 'teppan.booking.confirmed.v1', $7,
           json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.slot_date,
               'start_time', left(gate.start_time::text, 5), 'booking_version', gate.version + 1,
               'status', 'BOOKING_STATUS_CONFIRMED', 'occurred_at', $7,
               'conversation_id', gate.conversation_id, 'starts_at', gate.starts_at, 'ends_at', gate.ends_at,
               'time_zone', gate.time_zone, 'party_size', gate.party_size,
               'cause', 'CONFIRMATION_CAUSE_REQUESTED', 'seats_retaken', false),
           $5::text, gate.event_hash
    FROM gate
    WHERE gate.outcome = 'CHANGED'
    RETURNING event_id, booking_id, version, hash
),
booking AS (
    UPDATE bookings b
    SET status = 'CONFIRMED', confirmed_at = $7, hold_expires_at = NULL,
        version = event.version, event_hash = event.hash, updated_at = $7
    FROM event
    WHERE b.booking_id = event.booking_id
    RETURNING b.*
),
messages AS (                      -- now there is something to ask about
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT event.event_id, destination, event.booking_id, event.version, $5, $7, $7
    FROM event, gate, unnest($6::text[]) AS destination
    WHERE destination <> 'conversation-service' OR gate.conversation_id <> ''
),
stands AS (                        -- the booking as it is now
    SELECT * FROM booking
    UNION ALL
    SELECT * FROM target WHERE NOT EXISTS (SELECT FROM booking)
)
SELECT
    gate.outcome AS "outcome!",
    NULL::bigint AS "figure?",
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
