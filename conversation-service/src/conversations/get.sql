-- One conversation, the statistics of its emotions, its summary and its handoff, if there are any.
SELECT
    ROW(c.*) AS "conversation!: ConversationRow",
    s.aggregated_through AS "aggregated_through?",
    s.score_count AS "score_count?",
    (s.score_sum / NULLIF(s.score_count, 0))::double precision AS "mean_score?",
    s.score_min AS "score_min?",
    s.score_max AS "score_max?",
    s.recent_mean AS "recent_mean?",
    cardinality(s.recent_scores) AS "recent_count?",
    s.trend_delta AS "trend_delta?",
    s.label_counts_sealed AS "label_counts_sealed?",
    s.updated_at AS "aggregated_at?",
    summary AS "summary?: _",
    handoff AS "handoff?: _"
FROM conversations AS c
LEFT JOIN emotion_statistics AS s ON s.conversation_id = c.conversation_id
LEFT JOIN LATERAL (
    SELECT * FROM conversation_summaries WHERE conversation_id = c.conversation_id
) AS summary ON true
LEFT JOIN LATERAL (
    SELECT * FROM conversation_handoffs WHERE conversation_id = c.conversation_id
) AS handoff ON true
WHERE c.conversation_id = $1
