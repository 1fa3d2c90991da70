-- Puts events of Stripe's ($1) back that were claimed until $3 and are not settled: they are due at $2, and the
-- attempt does not count. A row for each.
--
-- The end of the lease names the claim, as its number will be given again: who claimed one of them anew keeps it,
-- also when this runs twice.
UPDATE stripe_events
SET attempts = attempts - 1, next_attempt_at = $2, lease_expires_at = NULL
WHERE event_id = ANY($1::text[]) AND lease_expires_at = $3 AND state = 'WAITING'
RETURNING event_id
