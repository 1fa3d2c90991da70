-- ListDeadLetters: at most $6 dead letters after the cursor ($1, $2). Optional filters: destination $3, event type $4,
-- aggregate $5.
SELECT
    dead_letter_id AS "id!",
    event_id AS "event_id!",
    event_type AS "event_type!",
    destination AS "destination!",
    aggregate_id AS "aggregate_id!",
    attempts AS "attempts!",
    last_error_reason AS "last_error_reason!",
    created_at AS "created_at!",
    dead_at AS "dead_at!",
    traceparent
FROM dead_letters
WHERE (dead_at, dead_letter_id) > ($1, $2)
  AND ($3::text IS NULL OR destination = $3)
  AND ($4::text IS NULL OR event_type = $4)
  AND ($5::text IS NULL OR aggregate_id = $5)
ORDER BY dead_at, dead_letter_id
LIMIT $6
