-- The conversations of the user with one of the hashes $1, the newest first: from the one that began at $2 with the id $3
-- on, or from the newest. $4 limit.
SELECT c.conversation_id AS "conversation_id!: ConversationId", c.created_at AS "created_at!"
FROM unnest($1::bytea[]) AS wanted_hash
CROSS JOIN LATERAL (
    SELECT conversation_id, created_at
    FROM conversations
    WHERE user_hash = wanted_hash AND created_at <= COALESCE($2::timestamptz, 'infinity')
      AND (created_at, conversation_id) <= (COALESCE($2, 'infinity'), COALESCE($3::text, ''))
    ORDER BY created_at DESC, conversation_id DESC
    LIMIT $4
) AS c
ORDER BY c.created_at DESC, c.conversation_id DESC
LIMIT $4
