-- Ends unsent follow-ups that were due before $2 as MISSED, the longest due first. $1 now, $3 whether events are
-- published.
WITH overdue AS MATERIALIZED (
    SELECT follow_up_id
    FROM follow_ups
    WHERE status = 'PENDING' AND due_at <= $2
    ORDER BY due_at
    LIMIT 128
    FOR UPDATE SKIP LOCKED
),
missed AS (
    UPDATE follow_ups AS f
    SET status = 'MISSED', next_attempt_at = NULL, finished_at = $1, updated_at = $1
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM overdue))
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
SELECT count(*) AS "missed!" FROM missed
