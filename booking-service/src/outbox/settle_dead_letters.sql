-- RetryDeadLetters ($1 true) and DiscardDeadLetters ($1 false), at $2: those with the ids $3, or, without
-- ids, every one to destination $4, with events of type $5, of booking $6, as far as these are given. At
-- most 1,000; `remaining` says how many are left, counted up to 100,000, and `unknown` which ids were none.
--
-- What is retried is due at once, with all its attempts before it. What is discarded is removed, and the
-- next message of its booking is due. What is no longer a dead letter is left as it is: of two that meet
-- the second waits for the row and finds it changed.
WITH by_id AS MATERIALIZED (
    SELECT m.place, wanted.id
    FROM (SELECT DISTINCT id FROM unnest($3::uuid[]) AS id ORDER BY id) AS wanted
    CROSS JOIN LATERAL (
        SELECT ctid AS place
        FROM outbox_messages
        WHERE dead_letter_id = wanted.id AND dead_at IS NOT NULL
        LIMIT 1
        FOR UPDATE
    ) AS m
    LIMIT 1000
),
by_filter AS MATERIALIZED (
    SELECT ctid AS place
    FROM outbox_messages m
    WHERE $3::uuid[] IS NULL AND m.dead_at IS NOT NULL
      AND ($4::text IS NULL OR m.destination = $4)
      -- The one event is looked up. As an EXISTS, PostgreSQL 18 would first read every event of the type.
      AND ($5::text IS NULL OR $5 = (
          SELECT e.type FROM booking_events e WHERE e.booking_id = m.booking_id AND e.version = m.version))
      AND ($6::uuid IS NULL OR m.booking_id = $6)
    ORDER BY m.dead_at, m.dead_letter_id
    LIMIT 1000
    FOR UPDATE
),
chosen AS MATERIALIZED (
    SELECT place FROM by_id UNION ALL SELECT place FROM by_filter
),
retried AS (
    UPDATE outbox_messages m
    SET attempts = 0, next_attempt_at = $2, dead_at = NULL, dead_letter_id = NULL
    FROM chosen
    WHERE $1 AND m.ctid = chosen.place
    RETURNING 1
),
discarded AS (
    DELETE FROM outbox_messages m
    USING chosen
    WHERE NOT $1 AND m.ctid = chosen.place
    RETURNING m.booking_id, m.destination, m.version
),
freed AS (
    UPDATE outbox_messages m
    SET next_attempt_at = $2
    FROM (
        SELECT later.*
        FROM discarded d
        CROSS JOIN LATERAL (
            SELECT booking_id, destination, version
            FROM outbox_messages
            WHERE booking_id = d.booking_id AND destination = d.destination AND version > d.version
            ORDER BY version
            LIMIT 1
        ) AS later
    ) AS next
    WHERE m.booking_id = next.booking_id AND m.destination = next.destination AND m.version = next.version
      AND m.next_attempt_at > $2 AND m.lease_expires_at IS NULL
),
matching AS (
    SELECT count(*) AS count
    FROM (
        SELECT FROM outbox_messages m
        WHERE $3::uuid[] IS NULL AND m.dead_at IS NOT NULL
          AND ($4::text IS NULL OR m.destination = $4)
          AND ($5::text IS NULL OR $5 = (
              SELECT e.type FROM booking_events e WHERE e.booking_id = m.booking_id AND e.version = m.version))
          AND ($6::uuid IS NULL OR m.booking_id = $6)
        ORDER BY m.dead_at, m.dead_letter_id
        LIMIT 101000
    ) AS found
)
SELECT
    settled.count AS "settled!",
    GREATEST((SELECT count FROM matching) - settled.count, 0) AS "remaining!",
    ARRAY(SELECT unnest($3::uuid[]) EXCEPT SELECT id FROM by_id) AS "unknown!"
FROM (SELECT (SELECT count(*) FROM retried) + (SELECT count(*) FROM discarded) AS count) AS settled
