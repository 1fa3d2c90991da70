-- The input of an aggregation run: the conversations of the oldest 256 messages that are pending since $2 or later, or
-- only conversation $1. Each has its current statistics and at most 256 messages after the watermark.
--
-- In a snapshot, the messages of a conversation have no gaps: a message gets its number under the lock of its
-- conversation, which is held until commit. So no message with a smaller sequence can appear later.
--
-- The limits are literals, because for a parameter the planner assumes a tenth of the queue and chooses other joins.
WITH taken AS MATERIALIZED (
    (
        SELECT conversation_id, since
        FROM emotion_pending
        WHERE $1::text IS NULL AND since >= $2::timestamptz
        ORDER BY since
        LIMIT 256
    )
    UNION ALL
    (SELECT conversation_id, since FROM emotion_pending WHERE conversation_id = $1 ORDER BY sequence LIMIT 256)
),
before AS MATERIALIZED (
    SELECT t.*, COALESCE(s.aggregated_through, 0) AS through, COALESCE(s.score_count, 0) AS score_count,
           COALESCE(s.score_sum, 0) AS score_sum, s.score_min, s.score_max, s.label_counts_sealed,
           COALESCE(s.recent_scores, '{}') AS recent_scores
    FROM (
        SELECT conversation_id, count(*) AS pending, max(since) AS newest_since
        FROM taken
        GROUP BY conversation_id
    ) AS t
    LEFT JOIN LATERAL (                -- LIMIT forces one lookup a row instead of a join with the whole table
        SELECT * FROM emotion_statistics WHERE conversation_id = t.conversation_id LIMIT 1
    ) AS s ON true
)
SELECT
    b.conversation_id AS "conversation_id!",
    b.pending AS "pending!",
    b.newest_since AS "newest_since!",
    b.through AS "through!",
    c.created_at AS "created_at!",
    b.score_count AS "score_count!",
    b.score_sum::text AS "score_sum!",
    b.score_min AS "score_min?",
    b.score_max AS "score_max?",
    b.label_counts_sealed AS "label_counts_sealed?",
    b.recent_scores::double precision[] AS "recent_scores!",
    fresh.message_ids AS "message_ids!",
    fresh.roles AS "roles!: _",
    fresh.sequences AS "sequences!",
    fresh.scores AS "scores!: _",
    fresh.emotions_sealed AS "emotions_sealed!: _",
    fresh.traceparents AS "traceparents!: _"
FROM before AS b
CROSS JOIN LATERAL (
    SELECT created_at FROM conversations WHERE conversation_id = b.conversation_id LIMIT 1
) AS c
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(message_id), '{}') AS message_ids,
           COALESCE(array_agg(role), '{}') AS roles,
           COALESCE(array_agg(sequence), '{}') AS sequences,
           COALESCE(array_agg(emotion_score), '{}') AS scores,
           COALESCE(array_agg(emotions_sealed), '{}') AS emotions_sealed,
           COALESCE(array_agg(traceparent), '{}') AS traceparents
    -- The arrays keep the order of the rows. With an ORDER BY each of them would be sorted.
    FROM (
        SELECT message_id, role, sequence, emotion_score, emotions_sealed, traceparent
        FROM messages
        WHERE conversation_id = b.conversation_id AND sequence > b.through
          -- the condition of the partial index
          AND (emotion_score IS NOT NULL OR emotions_sealed IS NOT NULL)
        ORDER BY sequence
        LIMIT 256
    ) AS message
) AS fresh
