-- The conversations that have not changed since $2, are not escalated and have no unfinished follow-up, among the 1,000
-- after the id $1. Always one row; `last` is the last of the thousand, null at the end of the table.
WITH page AS MATERIALIZED (
    SELECT conversation_id, last_message_at, updated_at, status
    FROM conversations
    WHERE conversation_id > $1
    ORDER BY conversation_id
    LIMIT 1000
)
SELECT
    ARRAY(
        SELECT p.conversation_id
        FROM page p
        WHERE p.last_message_at < $2::timestamptz AND p.updated_at < $2 AND p.status <> 'ESCALATED'
          -- a scalar subquery, so that it looks up one row, by the index follow_ups_unfinished_key
          AND (SELECT 1 FROM follow_ups f WHERE f.conversation_id = p.conversation_id AND f.finished_at IS NULL LIMIT 1)
              IS NULL
        ORDER BY p.conversation_id) AS "idle!: Vec<ConversationId>",
    (SELECT p.conversation_id FROM page p ORDER BY p.conversation_id DESC LIMIT 1) AS "last?"
