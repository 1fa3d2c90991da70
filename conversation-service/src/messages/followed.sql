-- The followed conversations $1 that exist, in any order.
SELECT conversation_id, created_at, message_count FROM conversations WHERE conversation_id = ANY ($1::text[])
