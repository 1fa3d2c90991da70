-- The input of an aggregation run: the conversations of the oldest 256 pending messages, or conversation $1, each with
-- what the next statistics depend on and its messages after the watermark, at most 256.
--
-- In one snapshot a conversation's messages have no gap: each is numbered under the lock of its conversation, which is
-- held until commit. So the messages up to the last sequence are all there will ever be up to it.
--
-- The limits are literals: the planner takes a parameter for a tenth of the queue, and joins accordingly.
WITH taken AS MATERIALIZED (
    (SELECT conversation_id FROM emotion_pending WHERE $1::text IS NULL ORDER BY since LIMIT 256)
    UNION ALL
    (SELECT conversation_id FROM emotion_pending WHERE conversation_id = $1 ORDER BY sequence LIMIT 256)
),
before AS MATERIALIZED (
    SELECT t.conversation_id, t.pending, COALESCE(s.aggregated_through, 0) AS through,
           COALESCE(s.label_counts, '{}') AS label_counts, COALESCE(s.recent_scores, '{}') AS recent_scores
    FROM (SELECT conversation_id, count(*) AS pending FROM taken GROUP BY conversation_id) AS t
    LEFT JOIN LATERAL (                -- LIMIT: one lookup each, not a join with the whole table
        SELECT * FROM emotion_statistics WHERE conversation_id = t.conversation_id LIMIT 1
    ) AS s ON true
)
SELECT
    b.conversation_id AS "conversation_id!",
    b.pending AS "pending!",
    b.through AS "through!",
    b.label_counts AS "label_counts!: _",
    b.recent_scores::double precision[] AS "recent_scores!",
    fresh.sequences AS "sequences!",
    fresh.scores AS "scores!: _",
    fresh.labels AS "labels!: _",
    fresh.traceparents AS "traceparents!: _"
FROM before AS b
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(sequence ORDER BY sequence), '{}') AS sequences,
           COALESCE(array_agg(emotion_score ORDER BY sequence), '{}') AS scores,
           COALESCE(array_agg(emotion_label ORDER BY sequence), '{}') AS labels,
           COALESCE(array_agg(traceparent ORDER BY sequence), '{}') AS traceparents
    FROM (
        SELECT sequence, emotion_score, emotion_label, traceparent
        FROM messages
        WHERE conversation_id = b.conversation_id AND sequence > b.through
          -- the index's own condition, and what is counted
          AND (emotion_score IS NOT NULL OR emotion_label IS NOT NULL OR emotion_detected <> '{}')
          AND (emotion_score IS NOT NULL OR emotion_label IS NOT NULL)
        ORDER BY sequence
        LIMIT 256
    ) AS message
) AS fresh
