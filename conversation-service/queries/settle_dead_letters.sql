-- RetryDeadLetters ($1 true) and DiscardDeadLetters ($1 false), at $2: those with the ids $3, or, without
-- ids, every one with events of type $4, of conversation $5, as far as these are given. At most 1,000;
-- `remaining` says how many are left, counted up to 100,000, and `unknown` which ids were none.
--
-- What is retried is due at once, with all its attempts before it. What is discarded is removed, and the
-- next event of its conversation is due. What is no longer a dead letter is left as it is: of two that meet
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
    FROM outbox_messages
    WHERE $3::uuid[] IS NULL AND dead_at IS NOT NULL
      AND ($4::text IS NULL OR type = $4)
      AND ($5::text IS NULL OR conversation_id = $5)
    ORDER BY dead_at, dead_letter_id
    LIMIT 1000
    FOR UPDATE
),
chosen AS MATERIALIZED (
    SELECT place FROM by_id UNION ALL SELECT place FROM by_filter
),
retried AS (
    UPDATE outbox_messages AS m
    SET attempts = 0, next_attempt_at = $2::timestamptz, dead_at = NULL, dead_letter_id = NULL
    FROM chosen
    WHERE $1 AND m.ctid = chosen.place
    RETURNING 1
),
discarded AS (
    DELETE FROM outbox_messages AS m
    USING chosen
    WHERE NOT $1 AND m.ctid = chosen.place
    RETURNING m.conversation_id, m.message_id
),
freed AS (
    UPDATE outbox_messages AS m
    SET next_attempt_at = $2
    FROM (
        SELECT later.message_id
        FROM discarded AS d
        CROSS JOIN LATERAL (
            SELECT message_id
            FROM outbox_messages
            WHERE conversation_id = d.conversation_id AND message_id > d.message_id
            ORDER BY message_id
            LIMIT 1
        ) AS later
    ) AS next
    WHERE m.message_id = next.message_id AND m.next_attempt_at > $2 AND m.lease_expires_at IS NULL
),
matching AS (
    SELECT count(*) AS count
    FROM (
        SELECT FROM outbox_messages
        WHERE $3::uuid[] IS NULL AND dead_at IS NOT NULL
          AND ($4::text IS NULL OR type = $4)
          AND ($5::text IS NULL OR conversation_id = $5)
        ORDER BY dead_at, dead_letter_id
        LIMIT 101000
    ) AS found
)
SELECT
    settled.count AS "settled!",
    GREATEST((SELECT count FROM matching) - settled.count, 0) AS "remaining!",
    ARRAY(SELECT unnest($3::uuid[]) EXCEPT SELECT id FROM by_id) AS "unknown!"
FROM (SELECT (SELECT count(*) FROM retried) + (SELECT count(*) FROM discarded) AS count) AS settled
