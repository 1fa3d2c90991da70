-- A page of all conversations, the newest first. Each wanted (channel, status) is a run of its own in
-- the index conversations_list: the first rows of every run, 21 runs at most, hold the page.
SELECT
    c.conversation_id AS "conversation_id!",
    c.user_id AS "user_id?",
    c.channel AS "channel!",
    c.status AS "status!",
    c.message_count AS "message_count!",
    c.last_message_at AS "last_message_at!",
    c.created_at AS "created_at!",
    c.updated_at AS "updated_at!",
    c.closed_at AS "closed_at?"
FROM unnest($1::text[]) AS wanted_channel
CROSS JOIN unnest($2::text[]) AS wanted_status
CROSS JOIN LATERAL (
    SELECT
        conversation_id, user_id, channel, status, message_count, last_message_at, created_at, updated_at, closed_at
    FROM conversations
    WHERE channel = wanted_channel AND status = wanted_status
      -- where the last page ended; everything on the first one
      AND (created_at, conversation_id) < (COALESCE($3::timestamptz, 'infinity'), COALESCE($4::text, ''))
    ORDER BY created_at DESC, conversation_id DESC
    LIMIT $5
) AS c
ORDER BY c.created_at DESC, c.conversation_id DESC
LIMIT $5
