-- A page of a conversation's emotions, the newest first; otherwise like history_oldest_first.sql.
SELECT
    message_id AS "message_id!: _",
    sequence AS "sequence!",
    role AS "role!: _",
    emotion_score AS "score?: _",
    emotions_sealed AS "emotions_sealed?",
    sent_at AS "sent_at!"
FROM messages
WHERE conversation_id = $1 AND sequence > $2 AND sequence < $3
  AND (emotion_score IS NOT NULL OR emotions_sealed IS NOT NULL)
  AND ($4::text IS NULL OR role = $4)
ORDER BY sequence DESC
LIMIT $5
