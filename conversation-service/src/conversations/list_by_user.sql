-- A page of one user's conversations, the newest first. Like list.sql, with the index conversations_list_by_user. $8 are
-- the keyed hashes of the user's id, one for each key of the ring.
SELECT c AS "conversation!: ConversationRow", h AS "handoff?: HandoffRow"
FROM (
    SELECT c.*
    FROM unnest($1::text[]) AS wanted_channel
    CROSS JOIN unnest($2::text[]) AS wanted_status
    CROSS JOIN unnest($8::bytea[]) AS wanted_hash
    CROSS JOIN LATERAL (
        SELECT *
        FROM conversations
        WHERE user_hash = wanted_hash AND channel = wanted_channel AND status = wanted_status
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
