-- Stores a Stripe event once: a repeated event changes nothing. But a repeated event replaces a dead letter or an event
-- that was found irrelevant, and is tried again: an operator may have resolved the cause, or a newer version may
-- understand the event. Stripe also repeats events on its own; applying an event twice changes nothing. An event
-- without an effect replaces nothing.
WITH stored AS (
    INSERT INTO stripe_events AS known (
        event_id, type, created_at, received_at, effect, booking_id, payment_intent, charge_id, object_id, amount_cents,
        refunded_cents, currency, state, reason, next_attempt_at, settled_at, dead_letter_id)
    SELECT $1, $2, $3, $4::timestamptz, $5, $6, $7, $8, $9, $10, $11, $12, $13::text, $14, $4,
           CASE WHEN $13 <> 'WAITING' THEN $4 END, CASE WHEN $13 = 'SET_ASIDE' THEN gen_random_uuid() END
    ON CONFLICT (event_id) DO UPDATE
    SET type = EXCLUDED.type, created_at = EXCLUDED.created_at, received_at = EXCLUDED.received_at,
        effect = EXCLUDED.effect, booking_id = EXCLUDED.booking_id, payment_intent = EXCLUDED.payment_intent,
        charge_id = EXCLUDED.charge_id, object_id = EXCLUDED.object_id, amount_cents = EXCLUDED.amount_cents,
        refunded_cents = EXCLUDED.refunded_cents, currency = EXCLUDED.currency, state = EXCLUDED.state,
        reason = EXCLUDED.reason, attempts = 0, next_attempt_at = EXCLUDED.next_attempt_at,
        lease_expires_at = NULL, settled_at = EXCLUDED.settled_at, dead_letter_id = EXCLUDED.dead_letter_id
    WHERE EXCLUDED.effect IS NOT NULL
      AND (known.state = 'SET_ASIDE'
           OR known.state = 'DONE' AND known.reason IN ('IGNORED', 'UNRELATED', 'LIVEMODE_MISMATCH', 'ACCOUNT_MISMATCH'))
    RETURNING event_id
)
SELECT EXISTS (SELECT FROM stored) AS "stored!"
