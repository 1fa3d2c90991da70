-- A page of one customer's conversations, the newest first. Like list.sql, with the index conversations_list_by_user.
SELECT c AS "conversation!: Conversation"
FROM unnest($1::text[]) AS wanted_channel
CROSS JOIN unnest($2::text[]) AS wanted_status
CROSS JOIN LATERAL (
    SELECT *
    FROM conversations
    WHERE user_id = $6 AND channel = wanted_channel AND status = wanted_status
      -- the end of the last page; everything on the first one
      AND (created_at, conversation_id) < (COALESCE($3::timestamptz, 'infinity'), COALESCE($4::text, ''))
    ORDER BY created_at DESC, conversation_id DESC
    LIMIT $5
) AS c
ORDER BY c.created_at DESC, c.conversation_id DESC
LIMIT $5
