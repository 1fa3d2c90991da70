-- Claims up to 32 events of Stripe's that are due at $1, the longest due first, until $2.
--
-- A row for each. A claim waits for nobody and counts as an attempt; what becomes of the event is accepted
-- only under the number of the last one. A locked row stays where it is until the end of the statement, so it
-- is found by its place, whatever the planner thinks of the table.
WITH due AS MATERIALIZED (
    SELECT ctid AS place, next_attempt_at AS due_at
    FROM stripe_events
    WHERE state = 'WAITING' AND next_attempt_at <= $1
    ORDER BY next_attempt_at, event_id
    LIMIT 32
    FOR UPDATE SKIP LOCKED
)
UPDATE stripe_events e
SET attempts = e.attempts + 1, next_attempt_at = $2
FROM due
WHERE e.ctid = due.place
RETURNING
    e.event_id, e.type AS kind, e.created_at, e.effect AS "effect!", e.booking_id, e.payment_intent, e.charge_id, e.object_id,
    e.amount_cents, e.refunded_cents, e.currency AS "currency!", e.attempts, due.due_at AS "due_at!"
