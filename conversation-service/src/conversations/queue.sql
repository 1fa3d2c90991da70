-- A page of all escalated conversations, the longest waiting first, by the index conversation_handoffs_list.
SELECT c AS "conversation!: ConversationRow", h AS "handoff!: HandoffRow"
FROM (
    SELECT *
    FROM conversation_handoffs
    WHERE escalated_at IS NOT NULL
      -- the end of the last page; everything on the first one
      AND (held_since, conversation_id) > (COALESCE($1::timestamptz, '-infinity'), COALESCE($2::text, ''))
    ORDER BY held_since, conversation_id
    LIMIT $3
) AS h
CROSS JOIN LATERAL (
    SELECT * FROM conversations WHERE conversation_id = h.conversation_id LIMIT 1
) AS c
ORDER BY h.held_since, h.conversation_id
