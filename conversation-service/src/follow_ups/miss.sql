-- Ends unsent follow-ups that were due before $2 as MISSED, the longest due first. $1 now, $3 whether events are
-- published. While a person holds the conversation none is missed: it waits, and counts as overdue from then. A
-- reminder is missed in any case when its event begins.
WITH overdue AS MATERIALIZED (
    SELECT follow_up_id, conversation_id
    FROM follow_ups
    WHERE status = 'PENDING' AND COALESCE(held_until, due_at) <= $2
    ORDER BY COALESCE(held_until, due_at)
    LIMIT 128
    FOR UPDATE SKIP LOCKED
),
checked AS MATERIALIZED (
    SELECT o.follow_up_id, COALESCE(c.status = 'ESCALATED', false) AS is_held
    FROM overdue AS o
    LEFT JOIN LATERAL (                -- LIMIT forces one lookup a row instead of a join with the whole table
        SELECT status FROM conversations WHERE conversation_id = o.conversation_id LIMIT 1
    ) AS c ON true
),
expired AS MATERIALIZED (
    SELECT follow_up_id
    FROM follow_ups
    WHERE status = 'PENDING' AND expires_at <= $1 AND expires_at IS NOT NULL
    ORDER BY expires_at
    LIMIT 128
    FOR UPDATE SKIP LOCKED
),
held AS (                              -- so that they do not block the others
    UPDATE follow_ups
    SET held_until = $1
    WHERE follow_up_id = ANY (ARRAY(
        SELECT follow_up_id FROM checked WHERE is_held EXCEPT SELECT follow_up_id FROM expired))
),
missed AS (
    UPDATE follow_ups AS f
    SET status = 'MISSED', next_attempt_at = NULL, finished_at = $1, updated_at = $1
    WHERE f.follow_up_id = ANY (ARRAY(
        SELECT follow_up_id FROM checked WHERE NOT is_held UNION SELECT follow_up_id FROM expired))
    RETURNING f.*
),
event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.missed.v1', $1,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $1::timestamptz,
               'due_at', due_at),
           traceparent, $1
    FROM missed
    WHERE $3::boolean
)
SELECT (SELECT count(*) FROM missed) AS "missed!",
       GREATEST((SELECT count(*) FROM checked), (SELECT count(*) FROM expired)) AS "checked!"
