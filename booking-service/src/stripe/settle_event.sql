-- Records at $6 the result of attempt $2 at event $1: $3 is DONE, SET_ASIDE, or WAITING for another attempt at $5; $4
-- is the reason.
--
-- A result changes nothing after the event was claimed again, unless the claim was put back and its number used again.
-- The result is true then too, because to apply an event twice changes nothing. Run twice, because the first answer
-- was lost, the statement answers the same.
UPDATE stripe_events
SET state = $3::text, reason = $4, next_attempt_at = COALESCE($5, next_attempt_at),
    lease_expires_at = NULL,
    settled_at = CASE WHEN $3 <> 'WAITING' THEN $6::timestamptz END,
    dead_letter_id = CASE WHEN $3 = 'SET_ASIDE' THEN COALESCE(dead_letter_id, gen_random_uuid()) END
WHERE event_id = $1 AND attempts = $2 AND (state = 'WAITING' OR (state = $3 AND reason = $4))
RETURNING event_id
