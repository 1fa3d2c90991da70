-- ListDeadLetters after the cursor ($1, $2): to destination $3, with events of type $4, of aggregate $5, as far as these
-- are given; at most $6.
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
