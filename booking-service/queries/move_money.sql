-- Records a movement of money and everything that follows from it: for RecordPayment, and for what Stripe tells of a
-- charge. What the movement is was decided before: this finds out what it does to the booking, and writes it.
--
--   $1, $2    the idempotency key and the fingerprint, of a call
--   $3, $4    the booking, and its version as last read
--   $5, $19   the event: recorded, refunded, failed or processing; and its cause or reason
--   $6        the id of the new entry
--   $7 - $12  method, amount, currency, external reference, Stripe's charge, and when it happened
--   $13       now
--   $14 - $16 ids of the events, the trace, the destinations of their messages
--   $17, $18  the statuses in which a complete deposit confirms, and those in which it takes the seats again
--   $20 - $22 what it adds to what was paid, was given back, and is disputed
--   $23       whether it may make the booking firm
--   $24       of a charge through Stripe: what is known of it after this, see `stripe` below
--
-- No row: there is no such booking. Otherwise one: the booking as it stands after the call, and `outcome`:
--   CHANGED    it is recorded now;
--   REPLAYED   this key recorded the payment below earlier; compare `fingerprint`;
--   CONTENDED  to be run again, and for Stripe to be decided anew; else why not, and nothing was written.
-- A concurrent duplicate that commits first makes this one fail on idempotency_keys_pkey, payments_stripe_intent or
-- payments_stripe_charge: then nothing was written, and running again sees what the other wrote.
--
-- The booking is locked first and everything is decided on the locked row; then the charge, then the slot.
-- Rows to lock are named by their keys alone: any other condition would be tried on the version in the
-- snapshot, and the row left out.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, resource_id
    FROM idempotency_keys
    WHERE method = 'RecordPayment' AND key = $1
),
stripe AS MATERIALIZED (           -- no row for a call
    SELECT *
    FROM jsonb_to_record($24::jsonb) AS charge (
        payment_id      uuid,        -- the charge's entry, at this revision; NULL when nothing is known of it yet
        revision        bigint,
        status          text,
        amount_cents    bigint,
        refunded_cents  bigint,
        disputed_cents  bigint,
        occurred_at     timestamptz,
        facts           jsonb,
        hold_until      timestamptz, -- of a payment that is processed: how long it keeps the booking's hold
        undone_id       uuid,        -- the entry of the refund that failed, or of which a part did
        undone_cents    bigint       -- what that entry had
    )
    WHERE $24 IS NOT NULL
),
seen AS MATERIALIZED (             -- the booking in the snapshot that also shows the key absent
    SELECT version FROM bookings WHERE booking_id = $3::uuid
),
target AS MATERIALIZED (           -- row lock; sees the latest committed version
    SELECT * FROM bookings WHERE booking_id = $3 AND NOT EXISTS (SELECT FROM prior) FOR NO KEY UPDATE
),
known AS MATERIALIZED (            -- the charge, locked after its booking
    SELECT p.*
    FROM target
    CROSS JOIN payments p
    WHERE p.payment_id = (SELECT payment_id FROM stripe)
    FOR NO KEY UPDATE OF p
),
move AS MATERIALIZED (             -- what the movement does to what is paid
    SELECT t.*, known.payment_id AS charge, stripe.hold_until, stripe.undone_id,
        stripe.undone_cents > -$21::bigint AS undoes_a_part,
        known.status = 'PROCESSING' AND stripe.status <> 'PROCESSING' AS decided,
        t.paid_cents + $20::bigint AS new_paid,
        $20 > 0 AND $23::boolean AND t.paid_cents + $20 >= t.deposit_due_cents AS completes,
        CASE WHEN t.version <> $4::bigint THEN 'ETAG_MISMATCH'
             WHEN t.currency <> $9::text THEN 'CURRENCY_MISMATCH'
             WHEN known.revision IS DISTINCT FROM stripe.revision THEN 'CONTENDED'
             WHEN t.paid_cents + $20 < 0 THEN 'REFUND_EXCEEDS_PAID'
             ELSE 'CHANGED'
        END AS outcome
    FROM target t
    LEFT JOIN stripe ON true
    LEFT JOIN known ON true
),
place AS MATERIALIZED (            -- the slot of a booking that is to take its seats again
    SELECT s.state = 'OPEN' AND s.starts_at > $13::timestamptz AND s.reserved + m.party_size <= s.capacity AS has_room
    FROM move m
    JOIN slots s ON s.venue_id = m.venue_id AND s.slot_date = m.slot_date AND s.start_time = m.start_time
    WHERE m.outcome = 'CHANGED' AND m.completes AND m.status = ANY ($18::text[])
    FOR NO KEY UPDATE OF s
),
gate AS MATERIALIZED (
    SELECT m.*, v.time_zone, firm.confirms, firm.retakes, debt.new_due, hold.new_hold,
        GREATEST(debt.new_due - CASE WHEN firm.retakes THEN 0 ELSE m.refund_due_cents END, 0) AS owed,
        CASE -- the slot is newer than the snapshot
             WHEN m.outcome = 'CHANGED' AND m.completes AND m.status = ANY ($18) AND place.has_room IS NULL THEN 'CONTENDED'
             -- a duplicate with this key, or another payment that is processed, may be what came in between
             WHEN (m.decided OR m.outcome IN ('ETAG_MISMATCH', 'REFUND_EXCEEDS_PAID')) AND m.version <> seen.version
             THEN 'CONTENDED'
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
    CROSS JOIN LATERAL (           -- what was paid beyond what the venue may keep has to be given back
        SELECT GREATEST(m.new_paid - CASE WHEN m.status = 'CANCELLED' THEN m.kept_cents
                                          WHEN m.status = 'EXPIRED' AND NOT firm.confirms THEN 0
                                          ELSE m.total_cents
                                     END, 0) AS new_due
    ) AS debt
    CROSS JOIN LATERAL (           -- a payment that is processed keeps the hold until it is decided, for a bounded time
        SELECT CASE WHEN m.status <> 'PENDING' OR firm.confirms THEN NULL
                    WHEN m.hold_until IS NOT NULL
                    THEN GREATEST(m.hold_expires_at, LEAST(m.hold_until, m.starts_at))
                    WHEN m.decided
                    THEN LEAST(m.hold_expires_at, GREATEST(m.unpaid_hold_expires_at, (
                        SELECT max(other.hold_until)
                        FROM payments other
                        WHERE other.booking_id = m.booking_id AND other.status = 'PROCESSING' AND other.payment_id <> m.charge)))
                    ELSE m.hold_expires_at
               END AS new_hold
    ) AS hold
),
seats AS (
    UPDATE slots s
    SET reserved = s.reserved + gate.party_size
    FROM gate
    WHERE gate.verdict = 'CHANGED' AND gate.retakes
      AND s.venue_id = gate.venue_id AND s.slot_date = gate.slot_date AND s.start_time = gate.start_time
),
entry AS (                         -- a new payment: a refund, a charge of which nothing was known, a part of a refund that failed
    INSERT INTO payments (
        payment_id, booking_id, kind, method, status, amount_cents, currency, external_reference, charge_id,
        refund_of, refunded_cents, disputed_cents, facts, hold_until, occurred_at, created_at, updated_at)
    SELECT $6::uuid, gate.booking_id, CASE WHEN it.is_a_refund THEN 'REFUND' ELSE 'CHARGE' END, $7::text,
           CASE WHEN gate.undoes_a_part THEN 'FAILED' WHEN it.is_a_refund THEN 'SUCCEEDED' ELSE COALESCE(stripe.status, 'SUCCEEDED') END,
           CASE WHEN gate.undoes_a_part THEN -$21 ELSE $8::bigint END,
           gate.currency, $10::text, CASE WHEN NOT it.is_a_refund THEN $11::text END, gate.charge,
           CASE WHEN it.is_a_refund THEN 0 ELSE COALESCE(stripe.refunded_cents, 0) END,
           CASE WHEN it.is_a_refund THEN 0 ELSE COALESCE(stripe.disputed_cents, 0) END,
           CASE WHEN NOT it.is_a_refund THEN stripe.facts END, CASE WHEN NOT it.is_a_refund THEN stripe.hold_until END,
           $12::timestamptz, $13, $13
    FROM gate
    LEFT JOIN stripe ON true
    CROSS JOIN LATERAL (SELECT $5::text = 'refunded' OR gate.undoes_a_part IS TRUE AS is_a_refund) AS it
    WHERE gate.verdict = 'CHANGED' AND (gate.charge IS NULL OR it.is_a_refund)
    RETURNING payments.*
),
charge AS (                        -- what is known of the charge now
    UPDATE payments p
    SET status = stripe.status, amount_cents = stripe.amount_cents, refunded_cents = stripe.refunded_cents,
        disputed_cents = stripe.disputed_cents, facts = stripe.facts, hold_until = stripe.hold_until,
        occurred_at = stripe.occurred_at, charge_id = COALESCE($11, p.charge_id), revision = p.revision + 1, updated_at = $13
    FROM gate, stripe
    WHERE p.payment_id = gate.charge AND gate.verdict = 'CHANGED'
),
undone AS (                        -- the refund that failed, or what is left of the entry
    UPDATE payments r
    SET status = CASE WHEN gate.undoes_a_part THEN r.status ELSE 'FAILED' END,
        amount_cents = CASE WHEN gate.undoes_a_part THEN r.amount_cents + $21 ELSE r.amount_cents END,
        updated_at = $13
    FROM gate
    WHERE r.payment_id = gate.undone_id AND gate.verdict = 'CHANGED'
),
event AS (                         -- the next link of the booking's chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT ($14::uuid[])[1], gate.booking_id, gate.version + 1, 'teppan.payment.' || $5 || '.v1', $13,
           (jsonb_build_object(
               'booking_id', gate.booking_id, 'venue_id', gate.venue_id, 'date', gate.slot_date,
               'start_time', left(gate.start_time::text, 5), 'booking_version', gate.version + 1,
               'status', 'BOOKING_STATUS_' || gate.status, 'occurred_at', $13,
               'payment_id', CASE WHEN $5 = 'refunded' THEN $6 ELSE COALESCE(gate.charge, $6) END,
               'method', 'PAYMENT_METHOD_' || $7, 'amount_cents', $8, 'currency', gate.currency,
               'paid_cents', gate.new_paid, 'refunded_cents', gate.refunded_cents + $21,
               'refund_due_cents', LEAST(gate.new_due, gate.refund_due_cents))
            || CASE WHEN $5 = 'refunded' THEN '{}'
                    -- confirming, the next link, ends the hold
                    ELSE jsonb_build_object(
                        'hold_expires_at', CASE WHEN gate.confirms THEN gate.hold_expires_at ELSE gate.new_hold END)
               END
            || CASE $5 WHEN 'recorded' THEN jsonb_build_object('cause', $19::text)
                       WHEN 'failed' THEN jsonb_build_object('reason', $19)
                       ELSE '{}'
               END)::json,
           $15::text, gate.event_hash
    FROM gate
    WHERE gate.verdict = 'CHANGED'
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
    SET paid_cents = gate.new_paid, refunded_cents = gate.refunded_cents + $21, refund_due_cents = gate.new_due,
        disputed_cents = gate.disputed_cents + $22::bigint,
        status = CASE WHEN gate.confirms THEN 'CONFIRMED' ELSE gate.status END,
        confirmed_at = CASE WHEN gate.confirms THEN $13 ELSE gate.confirmed_at END,
        hold_expires_at = gate.new_hold,
        unpaid_hold_expires_at = CASE WHEN gate.hold_until IS NULL THEN gate.unpaid_hold_expires_at
                                      ELSE COALESCE(gate.unpaid_hold_expires_at, gate.hold_expires_at)
                                 END,
        version = newest.version, event_hash = newest.hash, updated_at = $13
    FROM gate, (SELECT * FROM links ORDER BY version DESC LIMIT 1) AS newest
    WHERE b.booking_id = newest.booking_id
    RETURNING b.*
),
messages AS (                      -- of the money conversation-service need not hear
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT links.event_id, destination, links.booking_id, links.version, $15, $13, $13
    FROM links, gate, unnest($16::text[]) AS destination
    WHERE destination <> 'conversation-service' OR links.makes_firm AND gate.conversation_id <> ''
),
claim AS (                         -- no ON CONFLICT: losing to a duplicate must undo every step above
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
