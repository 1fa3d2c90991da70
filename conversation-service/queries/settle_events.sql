-- Records what became of claimed events: those that were published ($1) leave, the others ($2) are due again
-- at $3. An event that two have published, because a lease ran out, is there once: the broker knows its id.
WITH published AS (
    DELETE FROM outbox_messages WHERE message_id = ANY ($1::bigint[]) RETURNING message_id
),
returned AS (
    UPDATE outbox_messages SET next_attempt_at = $3 WHERE message_id = ANY ($2::bigint[]) RETURNING message_id
)
SELECT (SELECT count(*) FROM published) AS "published!", (SELECT count(*) FROM returned) AS "returned!"
