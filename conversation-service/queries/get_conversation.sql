SELECT
    conversation_id AS "conversation_id!",
    user_id AS "user_id?",
    channel AS "channel!",
    status AS "status!",
    message_count AS "message_count!",
    last_message_at AS "last_message_at!",
    created_at AS "created_at!",
    updated_at AS "updated_at!",
    closed_at AS "closed_at?"
FROM conversations
WHERE conversation_id = $1
