-- What fell due and has no text yet, the longest due first, with what its wording depends on. $1 now,
-- $2 when what has to wait is looked at again.
--
-- Nothing is held afterwards: ready_follow_ups.sql finds out what has changed in between. The limit is
-- written out because the plan hangs on it.
WITH due AS MATERIALIZED (             -- locked for the step below; other replicas pass over these rows
    SELECT follow_up_id, conversation_id, trigger, channel, content_sealed, metadata_sealed, message_id,
           next_attempt_at, updated_at
    FROM follow_ups
    WHERE status = 'PENDING' AND ready_at IS NULL AND next_attempt_at <= $1
    ORDER BY next_attempt_at
    LIMIT 128
    FOR UPDATE SKIP LOCKED
),
looked AS MATERIALIZED (               -- with their conversations, one by one
    SELECT d.*, c.channel AS conversation_channel, s.recent_mean,
           d.trigger <> 'CUSTOM' AND COALESCE(c.status = 'ESCALATED', false) AS waits
    FROM due AS d
    LEFT JOIN LATERAL (
        SELECT channel, status FROM conversations WHERE conversation_id = d.conversation_id LIMIT 1
    ) AS c ON true
    LEFT JOIN LATERAL (
        SELECT recent_mean FROM emotion_statistics WHERE conversation_id = d.conversation_id LIMIT 1
    ) AS s ON true
),
postponed AS (                         -- a person leads the conversation: out of the way of the rest
    UPDATE follow_ups
    SET next_attempt_at = $2
    WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM looked WHERE waits))
)
SELECT
    follow_up_id AS "follow_up_id!",
    trigger AS "trigger!",
    COALESCE(NULLIF(channel, ''), conversation_channel, '') AS "channel!",
    content_sealed IS NOT NULL AS "has_content!",
    metadata_sealed AS "metadata_sealed?",
    message_id AS "message_id!",
    recent_mean AS "recent_mean?",
    next_attempt_at AS "due_at!",
    updated_at AS "updated_at!",
    waits AS "waits!"
FROM looked
