-- Follow-ups that are due at $1 and not ready, the longest due first, with the data for the clock's decisions. The
-- limit is a literal because the plan depends on it.
SELECT
    d.follow_up_id AS "follow_up_id!: _",
    d.conversation_id AS "conversation_id!: _",
    d.trigger AS "trigger!: _",
    d.time_zone AS "time_zone!",
    COALESCE(NULLIF(d.channel, ''), c.channel, '') AS "channel!",
    d.content_sealed IS NOT NULL AS "has_content!",
    d.metadata_sealed AS "metadata_sealed?",
    d.expires_at AS "expires_at?",
    d.message_id AS "message_id!: _",
    d.next_attempt_at AS "due_at!",
    d.updated_at AS "updated_at!",
    COALESCE(c.status = 'ESCALATED', false) AS "is_escalated!",
    COALESCE(c.customer_wrote_at > d.created_at, false) OR back.again AS "user_came_back!",
    s.recent_mean AS "recent_mean?",
    is_consented(d.customer_id, d.purpose, COALESCE(NULLIF(d.channel, ''), c.channel, '')) AS "is_consented!"
FROM (
    SELECT *
    FROM follow_ups
    WHERE status = 'PENDING' AND ready_at IS NULL AND next_attempt_at <= $1 AND (expires_at IS NULL OR expires_at > $1)
    ORDER BY next_attempt_at
    LIMIT 128
) AS d
LEFT JOIN LATERAL (                    -- LIMIT forces one lookup a row instead of a join with the whole table
    SELECT channel, status, user_hash, customer_wrote_at
    FROM conversations
    WHERE conversation_id = d.conversation_id
    LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT recent_mean FROM emotion_statistics WHERE conversation_id = d.conversation_id LIMIT 1
) AS s ON true
CROSS JOIN LATERAL (                   -- whether a re-engaged user has written or booked since, in any conversation
    SELECT EXISTS (
        SELECT
        FROM (                         -- the same number of the user's conversations as in reengage.sql
            SELECT conversation_id, customer_wrote_at
            FROM conversations
            WHERE user_hash = COALESCE(c.user_hash, d.user_hash) AND d.trigger = 'REENGAGEMENT'
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
