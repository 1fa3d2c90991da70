-- Claims up to 64 events that are to be published, those that have waited longest, until $2. $1 is the time.
--
-- A row for each event claimed, in the order in which they were written, and one without an event when there
-- is none. `more` when there may be others that are due.
--
-- A claim moves an event to the end of its lease: when nobody reports what became of it, it comes back by
-- itself. What became of an event is accepted only from the last who claimed it (settle_events.sql). The events
-- of one conversation are published in order: one before which another still waits that is not in this batch,
-- because somebody else has it, is put off for a second, or half a minute behind a dead letter, so that the
-- blocked never fill the head of the queue.
WITH due AS MATERIALIZED (
    SELECT message_id, conversation_id
    FROM outbox_messages
    WHERE dead_at IS NULL AND next_attempt_at <= $1
    ORDER BY next_attempt_at, message_id
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
judged AS MATERIALIZED (               -- with what stands before each: nothing, a message or a dead letter
    SELECT d.message_id, first.is_dead AS behind_dead
    FROM due AS d
    LEFT JOIN LATERAL (
        SELECT earlier.dead_at IS NOT NULL AS is_dead
        FROM outbox_messages AS earlier
        WHERE earlier.conversation_id = d.conversation_id AND earlier.message_id < d.message_id
          AND NOT EXISTS (SELECT FROM due WHERE due.message_id = earlier.message_id)
        ORDER BY earlier.message_id
        LIMIT 1
    ) AS first ON true
),
put_off AS (
    UPDATE outbox_messages AS m
    SET next_attempt_at = $1 + CASE WHEN j.behind_dead THEN interval '30 seconds' ELSE interval '1 second' END,
        lease_expires_at = NULL
    FROM judged AS j
    WHERE m.message_id = j.message_id AND j.behind_dead IS NOT NULL
),
claimed AS (                           -- the lease of a process that died is taken over
    UPDATE outbox_messages AS m
    SET attempts = m.attempts + 1, claims = m.claims + 1, lease_expires_at = $2::timestamptz, next_attempt_at = $2
    FROM judged AS j
    WHERE m.message_id = j.message_id AND j.behind_dead IS NULL
    RETURNING m.*
)
SELECT
    (SELECT count(*) FROM due) = 64 AS "more!",
    c.message_id AS "message_id?",
    c.event_id AS "event_id?",
    c.conversation_id AS "conversation_id?",
    c.type AS "kind?",
    c.occurred_at AS "occurred_at?",
    c.data::text AS "data?",
    c.traceparent AS "traceparent?",
    c.claims AS "claim?",
    c.attempts AS "attempts?"
FROM (SELECT) AS always
LEFT JOIN claimed AS c ON true
ORDER BY c.message_id
