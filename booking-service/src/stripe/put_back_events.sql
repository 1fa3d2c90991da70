-- Puts back the Stripe events $1 that were claimed until $3 and are not settled: they are due again at $2, and the
-- attempt does not count. Returns a row for each.
--
-- The end of the lease identifies the claim, because the next claim gets the same attempt number. So a later claim is
-- not put back, even if this statement runs twice.
UPDATE stripe_events
SET attempts = attempts - 1, next_attempt_at = $2, lease_expires_at = NULL
WHERE event_id = ANY($1::text[]) AND next_attempt_at = $3 AND state = 'WAITING'
RETURNING event_id
