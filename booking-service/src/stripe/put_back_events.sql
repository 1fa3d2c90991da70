-- Puts back the events of Stripe's ($1) that were claimed until $3 and are not settled: they are due at $2, and the
-- attempt does not count. Answers a row for each.
--
-- The end of the lease identifies the claim, because the number of the attempt is used again: a later claim is left
-- alone, also when this runs twice.
UPDATE stripe_events
SET attempts = attempts - 1, next_attempt_at = $2, lease_expires_at = NULL
WHERE event_id = ANY($1::text[]) AND next_attempt_at = $3 AND state = 'WAITING'
RETURNING event_id
