-- Records a movement of money and everything that follows from it: for RecordPayment, and for what Stripe
-- tells of a payment. $5 says what happened: SUCCEEDED, FAILED, CANCELLED, DISPUTED or REFUNDED.
--
-- No row: there is no such booking, or none is known for this payment intent. Otherwise one: the booking as
-- it stands after the call, and `outcome`:
--   CHANGED    it is recorded now;
--   REPLAYED   this key recorded the payment below earlier; compare `fingerprint`;
--   UNCHANGED  what is known of the payment intent says as much already, or more;
--   UNKNOWN    it is about a charge of which nothing is known yet;
--   CONTENDED  to be run again; else why not, and nothing was written.
-- A twin that commits first makes this one fail on idempotency_keys_pkey, payments_stripe_intent or
-- payments_stripe_charge: then nothing was written, and running again sees what the twin wrote.
--
-- A payment intent is one row, and its states are ordered: FAILED, CANCELLED, SUCCEEDED, DISPUTED. Only a
-- higher one changes it. What was given back of it is a sum that only grows. So it does not matter in which
-- order, or how often, Stripe tells them.
--
-- $20 is what is known to have been given back of a charge that succeeded, when that is told first.
--
-- The booking is locked first and everything is decided on the locked row; then the charge, then the slot.
-- Rows to lock are named by their keys alone: any other condition would be tried on the version in the
-- snapshot, and the row left out.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, resource_id
    FROM idempotency_keys
    WHERE method = 'RecordPayment' AND key = $1
),
found AS MATERIALIZED (            -- the charge that Stripe tells of, if it is known; its booking never changes
    SELECT payment_id, booking_id
    FROM payments
    WHERE payment_id = COALESCE(
        (SELECT payment_id FROM payments
         WHERE $7::text = 'STRIPE' AND method = 'STRIPE' AND kind = 'CHARGE' AND external_reference = $10),
        (SELECT payment_id FROM payments WHERE charge_id = $11::text AND charge_id IS NOT NULL))
),
seen AS MATERIALIZED (             -- the booking in the snapshot that also shows the key absent
    SELECT version
    FROM bookings
    WHERE booking_id = COALESCE((SELECT booking_id FROM found), $3::uuid)
),
target AS MATERIALIZED (           -- locked, and read as it is once the lock is there
    SELECT *
    FROM bookings
    WHERE booking_id = COALESCE((SELECT booking_id FROM found), $3) AND NOT EXISTS (SELECT FROM prior)
    FOR NO KEY UPDATE
),
known AS MATERIALIZED (            -- the charge, locked after its booking
    SELECT p.*
    FROM target
    CROSS JOIN payments p
    WHERE p.payment_id = (SELECT payment_id FROM found)
    FOR NO KEY UPDATE OF p
),
move AS MATERIALIZED (             -- what the movement does to what is paid
    SELECT t.*, known.payment_id AS charge, entry.cents, counted.taken, counted.given,
        t.paid_cents + counted.taken - counted.given AS new_paid,
        t.refunded_cents + CASE $5::text WHEN 'REFUNDED' THEN counted.given
                                         WHEN 'DISPUTED' THEN -known.refunded_cents
                                         ELSE 0
                           END AS new_refunded,
        -- a charge of which everything is known to have been given back makes nothing firm
        counted.taken > COALESCE($20::bigint, 0) AND t.paid_cents + counted.taken >= t.deposit_due_cents AS completes,
        CASE WHEN t.version <> $4::bigint THEN 'ETAG_MISMATCH'
             WHEN t.currency <> $9::text THEN 'CURRENCY_MISMATCH'
             WHEN $7 = 'STRIPE' AND $5 IN ('REFUNDED', 'DISPUTED') AND COALESCE(rank.known, 0) < 3 THEN 'UNKNOWN'
             WHEN rank.told <= rank.known OR entry.cents <= 0 AND $5 = 'REFUNDED' THEN 'UNCHANGED'
             WHEN counted.given > t.paid_cents THEN 'REFUND_EXCEEDS_PAID'
             -- a refund came in after the snapshot
             WHEN $5 = 'DISPUTED' AND known.refunded_cents <> (
                 SELECT COALESCE(sum(r.amount_cents), 0) FROM payments r WHERE r.refund_of = known.payment_id
             ) THEN 'CONTENDED'
             ELSE 'CHANGED'
        END AS outcome
    FROM target t
    LEFT JOIN known ON true
    CROSS JOIN LATERAL (
        SELECT array_position(ARRAY['FAILED', 'CANCELLED', 'SUCCEEDED', 'DISPUTED'], $5) AS told,
               array_position(ARRAY['FAILED', 'CANCELLED', 'SUCCEEDED', 'DISPUTED'], known.status) AS known
    ) AS rank
    CROSS JOIN LATERAL (           -- Stripe tells how much was given back in all
        SELECT CASE $5 WHEN 'REFUNDED' THEN $8::bigint - COALESCE(known.refunded_cents, 0)
                       WHEN 'DISPUTED' THEN known.amount_cents - known.refunded_cents
                       ELSE $8
               END AS cents
    ) AS entry
    CROSS JOIN LATERAL (           -- a disputed charge does not count, and so does nothing that was given back of it
        SELECT CASE WHEN $5 = 'SUCCEEDED' THEN entry.cents ELSE 0 END AS taken,
               CASE WHEN $5 = 'DISPUTED' OR $5 = 'REFUNDED' AND known.status IS DISTINCT FROM 'DISPUTED'
                    THEN entry.cents
                    ELSE 0
               END AS given
    ) AS counted
),
place AS MATERIALIZED (            -- the slot of a booking that is to take its seats again
    SELECT s.state = 'OPEN' AND s.starts_at > $13::timestamptz AND s.reserved + m.party_size <= s.capacity AS has_room
    FROM move m
    JOIN slots s ON s.venue_id = m.venue_id AND s.slot_date = m.slot_date AND s.start_time = m.start_time
    WHERE m.outcome = 'CHANGED' AND m.completes AND m.status = ANY ($18::text[])
    FOR NO KEY UPDATE OF s
),
gate AS MATERIALIZED (
    SELECT m.*, v.time_zone, firm.confirms, firm.retakes, debt.owed,
        CASE WHEN firm.confirms THEN debt.owed ELSE GREATEST(m.refund_due_cents + debt.owed - m.given, 0) END AS new_due,
        CASE -- the slot is newer than the snapshot
             WHEN m.outcome = 'CHANGED' AND m.completes AND m.status = ANY ($18) AND place.has_room IS NULL THEN 'CONTENDED'
             -- a twin with this key may be what came in between
             WHEN m.outcome IN ('ETAG_MISMATCH', 'REFUND_EXCEEDS_PAID') AND m.version <> seen.version THEN 'CONTENDED'
             ELSE m.outcome
        END AS verdict
    FROM move m
    JOIN venues v ON v.venue_id = m.venue_id
    CROSS JOIN seen
    LEFT JOIN place ON true
    CROSS JOIN LATERAL (           -- who still has seats keeps them, also when the hold has run out, until it begins
        SELECT m.completes AND (m.status = ANY ($17::text[]) AND m.starts_at > $13
                                OR COALESCE(place.has_room, false)) AS confirms,
               m.completes AND COALESCE(place.has_room, false) AS retakes
    ) AS firm
    CROSS JOIN LATERAL (           -- what has to be given back of this payment
        SELECT CASE WHEN m.taken = 0 THEN 0
                    -- what was owed for the seats that were gone no longer is
                    WHEN firm.confirms THEN GREATEST(m.new_paid - m.total_cents, 0)
                    WHEN m.status = ANY ($19::text[]) THEN m.taken
                    ELSE GREATEST(m.new_paid - GREATEST(m.total_cents, m.paid_cents), 0)
               END AS owed
    ) AS debt
),
seats AS (
    UPDATE slots s
    SET reserved = s.reserved + gate.party_size
    FROM gate
    WHERE gate.verdict = 'CHANGED' AND gate.retakes
      AND s.venue_id = gate.venue_id AND s.slot_date = gate.slot_date AND s.start_time = gate.start_time
),
entry AS (                         -- a new payment: every refund, and a charge of which nothing was known
    INSERT INTO payments (
        payment_id, booking_id, kind, method, status, amount_cents, currency, external_reference, charge_id,
        refund_of, occurred_at, created_at, updated_at)
    SELECT $6::uuid, gate.booking_id,
           CASE WHEN $5 = 'REFUNDED' THEN 'REFUND' ELSE 'CHARGE' END, $7,
           CASE WHEN $5 <> 'REFUNDED' THEN $5 WHEN gate.given = 0 THEN 'DISPUTED' ELSE 'SUCCEEDED' END,
           gate.cents, gate.currency, $10::text, CASE WHEN $5 <> 'REFUNDED' THEN $11 END,
           gate.charge, $12::timestamptz, $13, $13
    FROM gate
    WHERE gate.verdict = 'CHANGED' AND (gate.charge IS NULL OR $5 = 'REFUNDED')
    RETURNING payments.*
),
charge AS (                        -- what is known of the charge now
    UPDATE payments p
    SET status = CASE WHEN $5 = 'REFUNDED' THEN p.status ELSE $5 END,
        amount_cents = CASE WHEN $5 IN ('REFUNDED', 'DISPUTED') THEN p.amount_cents ELSE gate.cents END,
        occurred_at = CASE WHEN $5 IN ('REFUNDED', 'DISPUTED') THEN p.occurred_at ELSE $12 END,
        charge_id = COALESCE($11, p.charge_id),
        refunded_cents = p.refunded_cents + CASE WHEN $5 = 'REFUNDED' THEN gate.cents ELSE 0 END,
        updated_at = $13
    FROM gate
    WHERE p.payment_id = gate.charge AND gate.verdict = 'CHANGED'
),
named AS (                         -- a session does not name the charge, its intent does
    UPDATE payments p
    SET charge_id = $11, updated_at = $13
    FROM gate
    WHERE p.payment_id = gate.charge AND gate.verdict = 'UNCHANGED' AND $5 = 'SUCCEEDED'
      AND p.charge_id IS NULL AND $11 IS NOT NULL
),
disputed_refunds AS (
    UPDATE payments r
    SET status = 'DISPUTED', updated_at = $13
    FROM gate
    WHERE r.refund_of = gate.charge AND gate.verdict = 'CHANGED' AND $5 = 'DISPUTED'
),
event AS (                         -- the next link of the booking's chain; a refund that does not count has none
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT ($14::uuid[])[1], gate.booking_id, gate.version + 1,
           CASE $5 WHEN 'SUCCEEDED' THEN 'teppan.payment.recorded.v1'
                   WHEN 'REFUNDED' THEN 'teppan.payment.refunded.v1'
                   ELSE 'teppan.payment.failed.v1'
           END, $13,
           json_strip_nulls(json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.slot_date,
               'start_time', left(gate.start_time::text, 5), 'booking_version', gate.version + 1,
               'status', 'BOOKING_STATUS_' || gate.status, 'occurred_at', $13,
               'payment_id', COALESCE(CASE WHEN $5 <> 'REFUNDED' THEN gate.charge END, $6),
               'method', 'PAYMENT_METHOD_' || $7, 'amount_cents', gate.cents, 'currency', gate.currency,
               'paid_cents', gate.new_paid,
               'reason', 'PAYMENT_FAILURE_REASON_' || CASE $5 WHEN 'FAILED' THEN 'DECLINED'
                                                              WHEN 'CANCELLED' THEN 'CANCELLED'
                                                              WHEN 'DISPUTED' THEN 'DISPUTED'
                                                      END,
               'refunded_cents', CASE WHEN $5 = 'REFUNDED' THEN gate.new_refunded END,
               'refund_due_cents', CASE WHEN $5 = 'REFUNDED' THEN gate.new_due END)),
           $15::text, gate.event_hash
    FROM gate
    WHERE gate.verdict = 'CHANGED' AND NOT ($5 = 'REFUNDED' AND gate.given = 0)
    RETURNING event_id, booking_id, version, hash
),
confirmed AS (                     -- the link after it, when the deposit is complete
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT ($14)[2], gate.booking_id, event.version + 1, 'teppan.booking.confirmed.v1', $13,
           json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.slot_date,
               'start_time', left(gate.start_time::text, 5), 'booking_version', event.version + 1,
               'status', 'BOOKING_STATUS_CONFIRMED', 'occurred_at', $13,
               'conversation_id', gate.conversation_id, 'starts_at', gate.starts_at, 'ends_at', gate.ends_at,
               'time_zone', gate.time_zone, 'party_size', gate.party_size,
               'cause', 'CONFIRMATION_CAUSE_DEPOSIT_PAID', 'seats_retaken', gate.retakes),
           $15, event.hash
    FROM gate, event
    WHERE gate.confirms
    RETURNING event_id, booking_id, version, hash
),
owed AS (                          -- and the last, when some of it has to be given back
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT ($14)[3], gate.booking_id, before.version + 1, 'teppan.payment.refund_required.v1', $13,
           json_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.slot_date,
               'start_time', left(gate.start_time::text, 5), 'booking_version', before.version + 1,
               'status', 'BOOKING_STATUS_' || CASE WHEN gate.confirms THEN 'CONFIRMED' ELSE gate.status END,
               'occurred_at', $13, 'payment_id', COALESCE(gate.charge, $6),
               'reason', 'REFUND_REASON_' || CASE WHEN gate.confirms THEN 'OVERPAID'
                                                  WHEN gate.status = 'CANCELLED' THEN 'BOOKING_CANCELLED'
                                                  WHEN gate.status = 'EXPIRED' THEN 'SEATS_GONE'
                                                  ELSE 'OVERPAID'
                                             END,
               'amount_cents', gate.owed, 'currency', gate.currency, 'refund_due_cents', gate.new_due),
           $15, before.hash
    FROM gate
    CROSS JOIN LATERAL (
        SELECT version, hash FROM (SELECT * FROM event UNION ALL SELECT * FROM confirmed) AS links
        ORDER BY version DESC
        LIMIT 1
    ) AS before
    WHERE gate.owed > 0
    RETURNING event_id, booking_id, version, hash
),
links AS (
    SELECT *, false AS makes_firm FROM event
    UNION ALL
    SELECT *, true FROM confirmed
    UNION ALL
    SELECT *, false FROM owed
),
booking AS (
    UPDATE bookings b
    SET paid_cents = gate.new_paid, refunded_cents = gate.new_refunded, refund_due_cents = gate.new_due,
        status = CASE WHEN gate.confirms THEN 'CONFIRMED' ELSE gate.status END,
        confirmed_at = CASE WHEN gate.confirms THEN $13 ELSE gate.confirmed_at END,
        hold_expires_at = CASE WHEN gate.confirms THEN NULL ELSE gate.hold_expires_at END,
        version = newest.version, event_hash = newest.hash, updated_at = $13
    FROM gate, (SELECT * FROM links ORDER BY version DESC LIMIT 1) AS newest
    WHERE b.booking_id = newest.booking_id
    RETURNING b.*
),
messages AS (                      -- of the money conversation-service need not hear
    INSERT INTO outbox_messages (event_id, destination, booking_id, version, traceparent, created_at, next_attempt_at)
    SELECT links.event_id, destination, links.booking_id, links.version, $15, $13, $13
    FROM links, gate, unnest($16::text[]) AS destination
    WHERE destination <> 'conversation-service' OR links.makes_firm AND gate.conversation_id <> ''
),
claim AS (                         -- no ON CONFLICT: losing to a twin must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT 'RecordPayment', $1, $2, entry.payment_id, $13
    FROM entry
    WHERE $1 IS NOT NULL
),
recorded AS (                      -- the payment, new or of the earlier call
    SELECT * FROM entry
    UNION ALL
    SELECT p.* FROM prior JOIN payments p ON p.payment_id = prior.resource_id
),
stands AS (                        -- the booking as it is now
    SELECT * FROM booking
    UNION ALL
    SELECT * FROM target WHERE NOT EXISTS (SELECT FROM booking)
    UNION ALL
    SELECT b.* FROM prior JOIN payments p ON p.payment_id = prior.resource_id JOIN bookings b ON b.booking_id = p.booking_id
)
SELECT
    COALESCE(gate.verdict, 'REPLAYED') AS "outcome!",
    (SELECT fingerprint FROM prior) AS "fingerprint?",
    -- the payment
    recorded.payment_id AS "payment_id?",
    recorded.kind AS "kind?",
    recorded.method AS "method?",
    recorded.status AS "payment_status?",
    recorded.amount_cents AS "amount_cents?",
    recorded.external_reference AS "external_reference?",
    recorded.occurred_at AS "occurred_at?",
    recorded.created_at AS "recorded_at?",
    recorded.updated_at AS "payment_updated_at?",
    -- the booking
    stands.booking_id AS "booking_id!",
    stands.confirmation_code AS "confirmation_code!",
    stands.status AS "status!",
    stands.venue_id AS "venue_id!",
    stands.slot_date AS "slot_date!",
    stands.start_time AS "start_time!",
    (SELECT v.time_zone FROM venues v WHERE v.venue_id = stands.venue_id) AS "time_zone!",
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
FROM stands
LEFT JOIN gate ON true
LEFT JOIN recorded ON true
