-- Claims up to 32 Stripe events that are due at $1, the longest due first, until $2. Returns a row for each.
--
-- A claim waits for no lock and counts as an attempt; a result is accepted only with the number of the latest attempt.
-- A locked row keeps its ctid until the end of the statement.
WITH due AS MATERIALIZED (
    SELECT ctid AS tid, next_attempt_at AS due_at
    FROM stripe_events
    WHERE state = 'WAITING' AND next_attempt_at <= $1
    ORDER BY next_attempt_at, event_id
    LIMIT 32
    FOR UPDATE SKIP LOCKED
)
UPDATE stripe_events e
SET attempts = e.attempts + 1, next_attempt_at = $2, lease_expires_at = $2
FROM due
WHERE e.ctid = due.tid
RETURNING
    e.event_id, e.type AS kind, e.created_at, e.effect AS "effect!", e.booking_id, e.payment_intent, e.charge_id, e.object_id,
    e.amount_cents, e.refunded_cents, e.currency AS "currency!", e.attempts, due.due_at AS "due_at!"
