-- Follow-ups that fell due and are not ready, the longest due first, with what their text depends on. $1 now,
-- $2 next check of a follow-up that has to wait, $3 time zones outside sending hours, $4 when the hours begin there.
--
-- `outcome` is `due`, `waits`, or `cancelled`: a re-engagement whose user has written or booked since.
--
-- The locks end with this statement: ready.sql notices what changed in between. The limit is a literal because
-- the plan depends on it.
WITH due AS MATERIALIZED (             -- locked for the steps below; other replicas skip these rows
    SELECT follow_up_id, conversation_id, trigger, channel, user_id, time_zone, content_sealed, metadata_sealed,
           message_id, next_attempt_at, created_at, updated_at
    FROM follow_ups
    WHERE status = 'PENDING' AND ready_at IS NULL AND next_attempt_at <= $1
    ORDER BY next_attempt_at
    LIMIT 128
    FOR UPDATE SKIP LOCKED
),
found AS MATERIALIZED (                -- with their conversations, one by one
    SELECT d.*, c.channel AS conversation_channel, s.recent_mean,
           -- until no person leads the conversation, and until the hours begin
           GREATEST(CASE WHEN d.trigger <> 'CUSTOM' AND c.status = 'ESCALATED' THEN $2::timestamptz END, closed.opens_at)
               AS waits_until,
           d.trigger = 'REENGAGEMENT' AND (COALESCE(c.customer_wrote_at > d.created_at, false) OR back.again) AS obsolete
    FROM due AS d
    LEFT JOIN unnest($3::text[], $4::timestamptz[]) AS closed (time_zone, opens_at) ON closed.time_zone = d.time_zone
    LEFT JOIN LATERAL (
        SELECT channel, status, user_id, customer_wrote_at
        FROM conversations
        WHERE conversation_id = d.conversation_id
        LIMIT 1
    ) AS c ON true
    LEFT JOIN LATERAL (
        SELECT recent_mean FROM emotion_statistics WHERE conversation_id = d.conversation_id LIMIT 1
    ) AS s ON true
    CROSS JOIN LATERAL (               -- as many of the user's conversations as reengage.sql reads
        SELECT EXISTS (
            SELECT
            FROM (
                SELECT conversation_id, customer_wrote_at
                FROM conversations
                WHERE user_id = COALESCE(c.user_id, d.user_id) AND d.trigger = 'REENGAGEMENT'
                ORDER BY created_at DESC
                LIMIT 100
            ) AS o
            WHERE o.customer_wrote_at > d.created_at
               OR EXISTS (
                   SELECT
                   FROM follow_ups AS f
                   WHERE f.conversation_id = o.conversation_id AND f.trigger = 'POST_EVENT' AND f.finished_at IS NULL
               )
        ) AS again
    ) AS back
),
cancelled AS (
    UPDATE follow_ups
    SET status = 'CANCELLED', next_attempt_at = NULL, finished_at = $1, updated_at = $1
    WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM found WHERE obsolete))
),
postponed AS (                         -- makes room for the rest
    UPDATE follow_ups AS f
    SET next_attempt_at = l.waits_until
    FROM found AS l
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM found WHERE NOT obsolete AND waits_until IS NOT NULL))
      AND f.follow_up_id = l.follow_up_id
)
SELECT
    follow_up_id AS "follow_up_id!: _",
    trigger AS "trigger!: _",
    COALESCE(NULLIF(channel, ''), conversation_channel, '') AS "channel!",
    content_sealed IS NOT NULL AS "has_content!",
    metadata_sealed AS "metadata_sealed?",
    message_id AS "message_id!: _",
    recent_mean AS "recent_mean?",
    next_attempt_at AS "due_at!",
    updated_at AS "updated_at!",
    CASE WHEN obsolete THEN 'cancelled' WHEN waits_until IS NOT NULL THEN 'waits' ELSE 'due' END AS "outcome!"
FROM found
