-- A page of a conversation's emotions, the oldest first, without the texts of the messages.
SELECT
    message_id AS "message_id!: _",
    sequence AS "sequence!",
    role AS "role!: _",
    emotion_score AS "score?: _",
    emotion_label AS "label?: _",
    emotion_detected AS "detected!: _",
    sent_at AS "sent_at!"
FROM messages
WHERE conversation_id = $1 AND sequence > $2 AND sequence < $3
  AND (emotion_score IS NOT NULL OR emotion_label IS NOT NULL OR emotion_detected <> '{}')
  AND ($4::text IS NULL OR role = $4)
ORDER BY sequence
LIMIT $5
