-- Claims up to 64 events that are to be published, those that have waited longest, until $2. $1 is the time.
--
-- A row for each event claimed, in the order in which they were written, and one without an event when there
-- is none. `more` when there may be others that are due.
--
-- A claim moves an event to the end of its lease: when nobody tells what became of it, it comes back by
-- itself. `attempts` counts the claims: what became of an event is accepted only from the last who claimed it
-- (settle_events.sql). The events of one conversation are published in order: one before which another
-- still waits that is not in this batch, because somebody else has it or NATS refused it, is put off for a
-- second.
WITH due AS MATERIALIZED (
    SELECT message_id, conversation_id
    FROM outbox_messages
    WHERE next_attempt_at <= $1
    ORDER BY next_attempt_at, message_id
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
judged AS MATERIALIZED (
    SELECT d.message_id,
           EXISTS (
               SELECT
               FROM outbox_messages AS earlier
               WHERE earlier.conversation_id = d.conversation_id AND earlier.message_id < d.message_id
                 AND NOT EXISTS (SELECT FROM due WHERE due.message_id = earlier.message_id)
           ) AS is_blocked
    FROM due AS d
),
claimed AS (
    UPDATE outbox_messages AS m
    SET attempts = m.attempts + CASE WHEN j.is_blocked THEN 0 ELSE 1 END,
        next_attempt_at = CASE WHEN j.is_blocked THEN $1 + interval '1 second' ELSE $2::timestamptz END
    FROM judged AS j
    WHERE m.message_id = j.message_id
    RETURNING m.*, j.is_blocked
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
    c.attempts AS "claim?"
FROM (SELECT) AS always
LEFT JOIN claimed AS c ON NOT c.is_blocked
ORDER BY c.message_id
