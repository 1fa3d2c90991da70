-- ListDeadLetters, from behind the cursor ($1, $2) on: with events of type $3, of conversation $4, as far as
-- these are given.
SELECT
    dead_letter_id AS "id!",
    event_id,
    type AS event_type,
    'event-stream' AS "destination!",
    conversation_id AS owner,
    attempts,
    last_error_reason,
    occurred_at AS created_at,
    dead_at AS "dead_at!",
    traceparent
FROM outbox_messages
WHERE dead_at IS NOT NULL AND (dead_at, dead_letter_id) > ($1, $2)
  AND ($3::text IS NULL OR type = $3)
  AND ($4::text IS NULL OR conversation_id = $4)
ORDER BY dead_at, dead_letter_id
LIMIT $5
