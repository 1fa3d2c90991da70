-- Loads the data to decide a change of bookings, in one snapshot: a row for each booking.
--
--   $1       the bookings. If a known charge or key belongs to a booking, that booking is loaded instead
--   $2       the event that the change would append: it exists if an earlier run of the change was committed
--   $3, $4   date and time of the slot to move to; default: those of the booking
--   $5, $6   for a charge through Stripe: its payment intent, and the id of the charge
--   $7       an idempotency key of RecordPayment
WITH prior AS MATERIALIZED (
    SELECT k.fingerprint, p.booking_id, to_jsonb(p) AS payment
    FROM idempotency_keys k
    JOIN payments p ON p.payment_id = k.resource_id
    WHERE k.method = 'RecordPayment' AND k.key = $7::text
),
charge AS MATERIALIZED (
    SELECT p.*
    FROM payments p
    WHERE p.payment_id = COALESCE(
        (SELECT payment_id FROM payments WHERE method = 'STRIPE' AND kind = 'CHARGE' AND external_reference = $5::text),
        (SELECT payment_id FROM payments WHERE charge_id = $6::text AND charge_id IS NOT NULL))
),
wanted AS MATERIALIZED (
    SELECT DISTINCT COALESCE((SELECT booking_id FROM charge), (SELECT booking_id FROM prior), named) AS booking_id
    FROM unnest($1::uuid[]) AS named
)
SELECT
    -- Fields of a whole row, not plain table columns: for those, sqlx would query their names.
    (found.b).*,
    v.time_zone || '' AS time_zone,
    EXISTS (SELECT FROM booking_events e WHERE e.event_id = $2::uuid) AS is_done,
    to_jsonb(v) AS venue,
    to_jsonb(own) AS slot,
    to_jsonb(target) AS target,
    -- the floor, with the days that the longest visit and its turn can touch
    CASE WHEN v.has_floor
         THEN floor_state(v.venue_id, target.starts_at, target.starts_at + make_interval(hours => 32))
    END AS floor,
    EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = own.venue_id AND w.slot_date = own.slot_date AND w.start_time = own.start_time
          AND w.status = 'WAITING' AND w.queue_number > 0)
    OR EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = own.venue_id AND w.slot_date = own.slot_date AND w.status = 'WAITING' AND w.until_time IS NOT NULL
          AND own.start_time BETWEEN w.from_time AND w.until_time)
    -- the seats of an area may be what entries of other slots wait for
    OR v.has_floor AND EXISTS (
        SELECT FROM waitlist_entries w
        WHERE w.venue_id = v.venue_id AND w.status = 'WAITING' AND w.queue_number > 0) AS has_waiting_entries,
    EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.customer_id = (found.b).customer_id AND w.venue_id = target.venue_id
          AND w.slot_date = target.slot_date AND w.start_time = target.start_time
          AND w.status = 'OFFERED' AND w.waitlist_entry_id <> (found.b).waitlist_entry_id) AS is_target_offered,
    -- the customer's other bookings, for a move
    CASE WHEN $3::date IS NOT NULL OR $4::time IS NOT NULL
         THEN visits_after(
             (found.b).customer_id, v.venue_id, target.slot_date, target.starts_at, (found.b).booking_id)
    END AS visits,
    -- when a booking that can be reinstated ended; a column would have to be written by the version before, too
    CASE WHEN (found.b).status IN ('CANCELLED', 'COMPLETED', 'NO_SHOW') THEN (
        SELECT e.occurred_at
        FROM booking_events e
        WHERE e.booking_id = (found.b).booking_id
          AND e.type IN ('teppan.booking.cancelled.v1', 'teppan.booking.completed.v1', 'teppan.booking.no_show.v1')
        ORDER BY e.version DESC LIMIT 1) END AS ended_at,
    (SELECT to_jsonb(charge) FROM charge) AS charge,
    -- the succeeded refunds of the charge, the newest first
    (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.created_at DESC, r.payment_id DESC)
     FROM charge
     JOIN payments r ON r.refund_of = charge.payment_id AND r.refund_of IS NOT NULL AND r.status = 'SUCCEEDED') AS refunds,
    -- until when other payments in processing extend the hold; only needed when this charge is in processing
    CASE WHEN (SELECT status FROM charge) = 'PROCESSING' THEN (
        SELECT max(p.hold_until)
        FROM payments p
        WHERE p.booking_id = (found.b).booking_id AND p.status = 'PROCESSING'
          AND p.payment_id <> (SELECT payment_id FROM charge)) END AS others_hold_until,
    (SELECT fingerprint FROM prior) AS prior_fingerprint,
    (SELECT payment FROM prior) AS prior_payment
FROM wanted
CROSS JOIN LATERAL (SELECT b FROM bookings b WHERE b.booking_id = wanted.booking_id OFFSET 0) AS found
JOIN venues v ON v.venue_id = (found.b).venue_id
LEFT JOIN slots own
    ON own.venue_id = (found.b).venue_id AND own.slot_date = (found.b).slot_date AND own.start_time = (found.b).start_time
LEFT JOIN slots target
    ON target.venue_id = (found.b).venue_id AND target.slot_date = COALESCE($3::date, (found.b).slot_date)
   AND target.start_time = COALESCE($4::time, (found.b).start_time)
