-- Writes a change of a conversation's status or holder, in one statement that commits by itself.
--
-- $1 conversation, $2 now, $3 its created_at, $4 status and $5 version of its handoff as they were loaded, $6 new
-- status, $7 escalated at, $8 reason, $9 assignee, $10 held since, $11 type of the event or null, $12 event, $13
-- traceparent, $14 whether the follow-ups that wait for the end of the handoff may go.
--
-- One row when it was written. No row when the conversation changed since it was loaded; then nothing was written. If
-- two calls hand it over for the first time at once, the later one fails on conversation_handoffs_pkey.
--
-- Order of locks: follow-ups, the conversation, its handoff, as in conversations/delete.sql.
WITH waiting AS MATERIALIZED (
    SELECT follow_up_id
    FROM follow_ups
    -- by the index follow_ups_list_by_conversation
    WHERE $14::boolean AND conversation_id = $1 AND status = 'PENDING' AND due_at <= $2
      AND trigger IN ('POST_EVENT', 'REENGAGEMENT', 'EMOTION_BASED', 'CUSTOM', 'REMINDER')
    ORDER BY follow_up_id
    FOR UPDATE
),
target AS MATERIALIZED (           -- row lock; sees the latest committed version
    SELECT conversation_id
    FROM conversations
    WHERE conversation_id = $1 AND created_at = $3 AND status = $4 AND (SELECT count(*) FROM waiting) >= 0
    FOR NO KEY UPDATE
),
handoff AS MATERIALIZED (          -- changes only under the lock of its conversation
    SELECT version
    FROM conversation_handoffs
    WHERE conversation_id = (SELECT conversation_id FROM target)
    FOR NO KEY UPDATE
),
gate AS MATERIALIZED (
    SELECT conversation_id FROM target WHERE COALESCE((SELECT version FROM handoff), 0) = $5::bigint
),
changed AS (
    UPDATE conversations AS c
    SET status = $6::text,
        closed_at = CASE WHEN $6 = 'CLOSED' THEN $2 END,
        updated_at = GREATEST(c.updated_at, $2)
    FROM gate AS g
    WHERE c.conversation_id = g.conversation_id
    RETURNING c.*
),
created AS (                       -- no ON CONFLICT: a call that loses a race must fail here
    INSERT INTO conversation_handoffs AS h (conversation_id, version, escalated_at, reason, assignee, held_since)
    SELECT conversation_id, 1, $7::timestamptz, $8, $9, $10::timestamptz
    FROM gate
    WHERE $5 = 0 AND $7 IS NOT NULL
    RETURNING h.*
),
updated AS (
    UPDATE conversation_handoffs AS h
    SET version = h.version + 1, escalated_at = $7, reason = $8, assignee = $9, held_since = $10
    FROM gate AS g
    WHERE h.conversation_id = g.conversation_id AND $5 > 0
    RETURNING h.*
),
released AS (
    UPDATE follow_ups
    SET next_attempt_at = LEAST(next_attempt_at, $2), held_until = $2
    WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM waiting)) AND EXISTS (SELECT FROM gate)
),
event AS (                         -- only where it is published
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, $11::text, $2, $12::json, $13, $2
    FROM gate
    WHERE $11 IS NOT NULL
)
SELECT c AS "conversation!: ConversationRow", h AS "handoff?: HandoffRow"
FROM changed AS c
LEFT JOIN (SELECT * FROM created UNION ALL SELECT * FROM updated) AS h ON true
