-- RetryDeadLetters ($1 true) and DiscardDeadLetters ($1 false) for Stripe events, at $2. Selects the ids $3, or,
-- without ids, every dead letter of type $4 and of booking $5; a filter that is null selects all. At most $6 are
-- settled. `remaining` is the number of the others, counted up to 100,000; `unknown` are the ids that are not dead
-- letters.
--
-- A retried event waits again, with a full number of attempts. An event without an effect could not be read when it
-- arrived, and its payload is not stored: it becomes a dead letter again at once. Stripe must send it again. A
-- discarded event stays as the record of what was received.
WITH by_id AS MATERIALIZED (
    SELECT e.tid, wanted.id
    FROM (SELECT DISTINCT id FROM unnest($3::uuid[]) AS id ORDER BY id) AS wanted
    CROSS JOIN LATERAL (
        SELECT ctid AS tid
        FROM stripe_events
        WHERE dead_letter_id = wanted.id AND state = 'SET_ASIDE'
        LIMIT 1
        FOR UPDATE
    ) AS e
    LIMIT $6
),
by_filter AS MATERIALIZED (
    SELECT ctid AS tid
    FROM stripe_events
    WHERE $3::uuid[] IS NULL AND state = 'SET_ASIDE'
      AND ($4::text IS NULL OR type = $4)
      AND ($5::text IS NULL OR booking_id::text = $5)
    ORDER BY settled_at, dead_letter_id
    LIMIT $6
    FOR UPDATE
),
chosen AS MATERIALIZED (
    SELECT tid FROM by_id UNION ALL SELECT tid FROM by_filter
),
retried AS (
    UPDATE stripe_events AS e
    SET state = CASE WHEN effect IS NULL THEN 'SET_ASIDE' ELSE 'WAITING' END,
        settled_at = CASE WHEN effect IS NULL THEN $2::timestamptz END,
        dead_letter_id = CASE WHEN effect IS NULL THEN gen_random_uuid() END,
        attempts = 0,
        next_attempt_at = $2
    FROM chosen
    WHERE $1 AND e.ctid = chosen.tid
    RETURNING 1
),
discarded AS (
    UPDATE stripe_events AS e
    SET state = 'DONE', reason = 'DISCARDED', settled_at = $2, dead_letter_id = NULL
    FROM chosen
    WHERE NOT $1 AND e.ctid = chosen.tid
    RETURNING 1
),
matching AS (
    SELECT count(*) AS count
    FROM (
        SELECT FROM stripe_events
        WHERE $3::uuid[] IS NULL AND state = 'SET_ASIDE'
          AND ($4::text IS NULL OR type = $4)
          AND ($5::text IS NULL OR booking_id::text = $5)
        ORDER BY settled_at, dead_letter_id
        LIMIT 101000
    ) AS found
)
SELECT
    settled.count AS "settled!",
    GREATEST((SELECT count FROM matching) - settled.count, 0) AS "remaining!",
    ARRAY(SELECT unnest($3::uuid[]) EXCEPT SELECT id FROM by_id) AS "unknown!"
FROM (SELECT (SELECT count(*) FROM retried) + (SELECT count(*) FROM discarded) AS count) AS settled
