-- ListDeadLetters, from behind the cursor ($1, $2) on: to destination $3, with events of type $4, of
-- booking $5, as far as these are given.
SELECT
    m.dead_letter_id AS "id!",
    m.event_id,
    e.type AS event_type,
    m.destination,
    m.booking_id::text AS "owner!",
    m.attempts,
    m.last_error_reason,
    m.created_at,
    m.dead_at AS "dead_at!",
    m.traceparent
FROM outbox_messages m
CROSS JOIN LATERAL (
    SELECT type FROM booking_events WHERE booking_id = m.booking_id AND version = m.version LIMIT 1
) AS e
WHERE m.dead_at IS NOT NULL AND (m.dead_at, m.dead_letter_id) > ($1, $2)
  AND ($3::text IS NULL OR m.destination = $3)
  AND ($4::text IS NULL OR e.type = $4)
  AND ($5::uuid IS NULL OR m.booking_id = $5)
ORDER BY m.dead_at, m.dead_letter_id
LIMIT $6
