-- Records what became of event $1 under claim $2: $3 is DONE, SET_ASIDE, or WAITING for another attempt at $5.
-- Whoever lost the claim changes nothing; unless it was put back, so that its number was given again. What became
-- of the event is as true then: to apply it twice changes nothing. Run twice, because the first answer was lost,
-- it answers the same.
UPDATE stripe_events
SET state = $3::text, reason = $4, next_attempt_at = COALESCE($5, next_attempt_at),
    lease_expires_at = NULL,
    settled_at = CASE WHEN $3 <> 'WAITING' THEN $6::timestamptz END,
    dead_letter_id = CASE WHEN $3 = 'SET_ASIDE' THEN COALESCE(dead_letter_id, gen_random_uuid()) END
WHERE event_id = $1 AND attempts = $2 AND (state = 'WAITING' OR (state = $3 AND reason = $4))
RETURNING event_id
