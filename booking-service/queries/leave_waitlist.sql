-- LeaveWaitlist: a customer no longer waits; a standing offer is given up with its booking.
--
-- No row: there is no such entry. Otherwise one: the entry as it stands after the call, and `outcome`:
-- LEFT, by this call or before; CLOSED, it has ended otherwise, as `status` says, and nothing was written;
-- CONTENDED, it changed between snapshot and lock: run it again.
-- Which of the two there is to give up, the place or the booking, is decided in the snapshot, without a lock,
-- because bookings and slots are locked before entries; each step then makes sure that it still is so. The
-- booking's own trigger moves the entry.
WITH entry AS MATERIALIZED (
    SELECT * FROM waitlist_entries WHERE waitlist_entry_id = $1
),
waiting AS MATERIALIZED (          -- locked, and read as it is once the lock is there
    SELECT w.waitlist_entry_id, w.status
    FROM entry
    JOIN waitlist_entries w ON w.waitlist_entry_id = entry.waitlist_entry_id
    WHERE entry.status = 'WAITING'
    FOR NO KEY UPDATE OF w
),
left_queue AS (                    -- without an offer only the entry ends
    UPDATE waitlist_entries w
    SET status = 'LEFT', special_requests_sealed = NULL, updated_at = $5::timestamptz
    FROM waiting
    WHERE w.waitlist_entry_id = waiting.waitlist_entry_id AND waiting.status = 'WAITING'
    RETURNING w.waitlist_entry_id
),
target AS MATERIALIZED (           -- locked, and read as it is once the lock is there
    SELECT b.*
    FROM entry
    JOIN bookings b ON b.booking_id = entry.booking_id
    WHERE entry.status = 'OFFERED'
    FOR NO KEY UPDATE OF b
),
gate AS MATERIALIZED (             -- as for CancelBooking on the customer's wish
    SELECT t.*, refund.cents AS refund_cents
    FROM target t
    JOIN venues v ON v.venue_id = t.venue_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN $5 <= t.starts_at - make_interval(hours => v.full_refund_hours)
                    THEN t.paid_cents
                    ELSE t.refund_due_cents
                         + ((t.paid_cents - t.refund_due_cents) * v.late_refund_percent + 50) / 100
               END AS cents
    ) AS refund
    WHERE t.status = 'PENDING' AND t.starts_at > $5
),
freed AS (
    UPDATE slots s
    SET reserved = s.reserved - gate.party_size
    FROM gate
    WHERE s.venue_id = gate.venue_id AND s.slot_date = gate.slot_date AND s.start_time = gate.start_time
    RETURNING s.venue_id
),
event AS (                         -- the next link of the booking's chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $2::uuid, gate.booking_id, gate.version + 1, 'teppan.booking.cancelled.v1', $5,
           json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.slot_date,
               'start_time', left(gate.start_time::text, 5), 'booking_version', gate.version + 1,
               'status', 'BOOKING_STATUS_CANCELLED', 'occurred_at', $5,
               'conversation_id', gate.conversation_id, 'party_size', gate.party_size,
               'cancelled_by', 'CANCELLATION_INITIATOR_CUSTOMER', 'paid_cents', gate.paid_cents,
               'refund_due_cents', gate.refund_cents, 'currency', gate.currency),
           $3::text, gate.event_hash
    FROM gate, freed
    RETURNING event_id, booking_id, version, hash
),
booking AS (
    UPDATE bookings b
    SET status = 'CANCELLED', cancelled_at = $5, cancelled_by = 'CUSTOMER', hold_expires_at = NULL,
        refund_due_cents = gate.refund_cents,
        version = event.version, event_hash = event.hash, updated_at = $5
    FROM event, gate
    WHERE b.booking_id = event.booking_id
    RETURNING b.booking_id
),
messages AS (                      -- it never was firm: there is nothing for conversation-service to cancel
    INSERT INTO outbox_messages (event_id, destination, booking_id, version, traceparent, created_at, next_attempt_at)
    SELECT event.event_id, destination, event.booking_id, event.version, $3, $5, $5
    FROM event, unnest($4::text[]) AS destination
    WHERE destination <> 'conversation-service'
),
verdict AS (
    SELECT entry.*, done.now_left,
        CASE WHEN entry.status = 'LEFT' OR done.now_left THEN 'LEFT'
             WHEN entry.status = 'WAITING' THEN 'CONTENDED'
             -- the hold ran out at the latest at the start; the worker has not come to it yet
             WHEN entry.status = 'OFFERED' AND EXISTS (
                 SELECT FROM target WHERE target.status = 'PENDING' AND target.starts_at <= $5) THEN 'CLOSED'
             WHEN entry.status = 'OFFERED' THEN 'CONTENDED'
             ELSE 'CLOSED'
        END AS outcome
    FROM entry
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM left_queue) OR EXISTS (SELECT FROM booking) AS now_left) AS done
)
SELECT
    v.outcome AS "outcome!",
    EXISTS (SELECT FROM booking) AS "gave_up_offer!",
    v.waitlist_entry_id AS "waitlist_entry_id!",
    CASE WHEN v.outcome = 'LEFT' THEN 'LEFT'
         WHEN v.outcome = 'CLOSED' AND v.status = 'OFFERED' THEN 'LAPSED'
         ELSE v.status
    END AS "status!",
    v.venue_id AS "venue_id!",
    v.slot_date AS "slot_date!",
    v.start_time AS "start_time!",
    (SELECT s.starts_at FROM slots s
     WHERE s.venue_id = v.venue_id AND s.slot_date = v.slot_date AND s.start_time = v.start_time) AS "starts_at!",
    (SELECT venue.time_zone FROM venues venue WHERE venue.venue_id = v.venue_id) AS "time_zone!",
    v.party_size AS "party_size!",
    0 AS "position!",
    v.customer_id AS "customer_id!",
    v.conversation_id AS "conversation_id!",
    CASE WHEN v.offered_at IS NOT NULL THEN v.booking_id END AS "booking_id?",
    NULL::timestamptz AS "offer_expires_at?",
    v.created_at AS "created_at!",
    CASE WHEN v.now_left THEN $5 ELSE v.updated_at END AS "updated_at!"
FROM verdict v
