-- Keeps an event of Stripe's, once: what its id names already changes nothing, but for one that was set
-- aside. Stripe sends that again only when somebody asked for it, and so it is tried again.
WITH stored AS (
    INSERT INTO stripe_events AS known (
        event_id, type, created_at, received_at, effect, booking_id, payment_intent, charge_id, amount_cents,
        refunded_cents, currency, state, reason, next_attempt_at, settled_at)
    SELECT $1, $2, $3, $4::timestamptz, $5, $6, $7, $8, $9, $10, $11, $12::text, $13, $4,
           CASE WHEN $12 <> 'WAITING' THEN $4 END
    ON CONFLICT (event_id) DO UPDATE
    SET state = 'WAITING', reason = '', attempts = 0, next_attempt_at = EXCLUDED.next_attempt_at, settled_at = NULL
    WHERE known.state = 'SET_ASIDE' AND known.effect IS NOT NULL
    RETURNING event_id
)
SELECT EXISTS (SELECT FROM stored) AS "stored!"
