-- Records what became of events, each named by its row ($1) and the number of its claim ($2): without a time in
-- $3 it was published and leaves, with one it is due again then.
--
-- What was claimed anew in the meantime is left alone. An event that two have published, because a lease ran
-- out, is there once: the broker knows its id.
WITH outcome AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS o (message_id, claim, due_at)
),
published AS (
    DELETE FROM outbox_messages AS m
    USING outcome AS o
    WHERE m.message_id = o.message_id AND m.attempts = o.claim AND o.due_at IS NULL
    RETURNING m.message_id
),
returned AS (
    UPDATE outbox_messages AS m
    SET next_attempt_at = o.due_at
    FROM outcome AS o
    WHERE m.message_id = o.message_id AND m.attempts = o.claim AND o.due_at IS NOT NULL
    RETURNING m.message_id
)
SELECT (SELECT count(*) FROM published) AS "published!", (SELECT count(*) FROM returned) AS "returned!"
