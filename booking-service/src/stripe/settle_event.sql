-- Records at $6 the result of attempt $2 of event $1. The state $3 is DONE, SET_ASIDE, or WAITING for another attempt
-- at $5; $4 is the reason.
--
-- The statement changes nothing after the event was claimed again. Only a claim that was put back and claimed again has
-- the same attempt number; the result is correct then too, because applying an event twice changes nothing. The
-- statement gives the same answer when it is repeated after a lost answer.
UPDATE stripe_events
SET state = $3::text, reason = $4, next_attempt_at = COALESCE($5, next_attempt_at),
    lease_expires_at = NULL,
    settled_at = CASE WHEN $3 <> 'WAITING' THEN $6::timestamptz END,
    dead_letter_id = CASE WHEN $3 = 'SET_ASIDE' THEN COALESCE(dead_letter_id, gen_random_uuid()) END
WHERE event_id = $1 AND attempts = $2 AND (state = 'WAITING' OR (state = $3 AND reason = $4))
RETURNING event_id
