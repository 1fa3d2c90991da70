-- A page of all conversations, the newest first. In the index conversations_list, the rows of one channel and status
-- are adjacent. The page is among the first rows of each wanted pair (at most 21 pairs).
SELECT c AS "conversation!: ConversationRow", h AS "handoff?: HandoffRow"
FROM (
    SELECT c.*
    FROM unnest($1::text[]) AS wanted_channel
    CROSS JOIN unnest($2::text[]) AS wanted_status
    CROSS JOIN LATERAL (
        SELECT *
        FROM conversations
        WHERE channel = wanted_channel AND status = wanted_status
          -- the end of the last page; everything on the first one
          AND (created_at, conversation_id) < (COALESCE($3::timestamptz, 'infinity'), COALESCE($4::text, ''))
          AND created_at >= COALESCE($6::timestamptz, '-infinity')
          AND created_at < COALESCE($7::timestamptz, 'infinity')
        ORDER BY created_at DESC, conversation_id DESC
        LIMIT $5
    ) AS c
    ORDER BY c.created_at DESC, c.conversation_id DESC
    LIMIT $5
) AS c
LEFT JOIN LATERAL (
    SELECT * FROM conversation_handoffs WHERE conversation_id = c.conversation_id LIMIT 1
) AS h ON true
ORDER BY c.created_at DESC, c.conversation_id DESC
