-- RetryDeadLetters ($1 is true) and DiscardDeadLetters ($1 is false) for outbox messages, at time $2. It settles the
-- dead letters with the ids $3. When $3 is NULL, it settles those that match the optional filters: destination $4,
-- event type $5, aggregate $6. It settles at most 1,000. `remaining` is the number left, counted up to 100,000;
-- `unknown` are the ids that are not dead letters.
--
-- A retried message is due at once, with a full number of attempts. A discarded message is removed, and the next
-- message of its aggregate is due. A message that is no dead letter any more is not changed: the second of two
-- concurrent calls waits for the row and sees that it has changed.
WITH by_id AS MATERIALIZED (
    SELECT m.tid, wanted.id
    FROM (SELECT DISTINCT id FROM unnest($3::uuid[]) AS id ORDER BY id) AS wanted
    CROSS JOIN LATERAL (
        SELECT ctid AS tid
        FROM outbox_messages
        WHERE dead_letter_id = wanted.id AND dead_at IS NOT NULL
        LIMIT 1
        FOR UPDATE
    ) AS m
    LIMIT 1000
),
by_filter AS MATERIALIZED (
    SELECT ctid AS tid
    FROM outbox_messages AS m
    WHERE $3::uuid[] IS NULL AND m.dead_at IS NOT NULL
      AND ($4::text IS NULL OR m.destination = $4)
      -- A scalar subquery looks up the one event. For an EXISTS, PostgreSQL 18 would first read every event of the
      -- type.
      AND ($5::text IS NULL OR $5 = (SELECT e.type FROM outbox_events AS e WHERE e.event_id = m.event_id))
      AND ($6::text IS NULL OR m.aggregate_id = $6)
    ORDER BY m.dead_at, m.dead_letter_id
    LIMIT 1000
    FOR UPDATE
),
chosen AS MATERIALIZED (
    SELECT tid FROM by_id UNION ALL SELECT tid FROM by_filter
),
retried AS (
    UPDATE outbox_messages AS m
    SET attempts = 0, next_attempt_at = $2, dead_at = NULL, dead_letter_id = NULL
    FROM chosen
    WHERE $1 AND m.ctid = chosen.tid
    RETURNING 1
),
discarded AS (
    DELETE FROM outbox_messages AS m
    USING chosen
    WHERE NOT $1 AND m.ctid = chosen.tid
    RETURNING m.aggregate_id, m.destination, m.version
),
freed AS (
    UPDATE outbox_messages AS m
    SET next_attempt_at = $2
    FROM (
        SELECT later.*
        FROM discarded AS d
        CROSS JOIN LATERAL (
            SELECT aggregate_id, destination, version
            FROM outbox_messages
            WHERE aggregate_id = d.aggregate_id AND destination = d.destination AND version > d.version
            ORDER BY version
            LIMIT 1
        ) AS later
    ) AS next
    WHERE m.aggregate_id = next.aggregate_id AND m.destination = next.destination AND m.version = next.version
      AND m.next_attempt_at > $2 AND m.lease_expires_at IS NULL
),
matching AS (
    SELECT count(*) AS count
    FROM (
        SELECT FROM outbox_messages AS m
        WHERE $3::uuid[] IS NULL AND m.dead_at IS NOT NULL
          AND ($4::text IS NULL OR m.destination = $4)
          AND ($5::text IS NULL OR $5 = (SELECT e.type FROM outbox_events AS e WHERE e.event_id = m.event_id))
          AND ($6::text IS NULL OR m.aggregate_id = $6)
        ORDER BY m.dead_at, m.dead_letter_id
        LIMIT 101000
    ) AS found
)
SELECT
    settled.count AS "settled!",
    GREATEST((SELECT count FROM matching) - settled.count, 0) AS "remaining!",
    ARRAY(SELECT unnest($3::uuid[]) EXCEPT SELECT id FROM by_id) AS "unknown!"
FROM (SELECT (SELECT count(*) FROM retried) + (SELECT count(*) FROM discarded) AS count) AS settled
