-- A page of a conversation's messages, the newest first; otherwise as list_messages_oldest_first.sql.
SELECT
    page.found AS "found?",
    page.message_id AS "message_id?",
    page.sequence AS "sequence?",
    page.role AS "role?",
    page.channel AS "channel?",
    page.content_sealed AS "content_sealed?",
    page.emotion_score AS "emotion_score?",
    page.emotion_label AS "emotion_label?",
    page.emotion_detected AS "emotion_detected?",
    page.metadata_sealed AS "metadata_sealed?",
    page.sent_at AS "sent_at?",
    page.stored_at AS "stored_at?",
    page.input_tokens AS "input_tokens?",
    page.output_tokens AS "output_tokens?"
FROM conversations AS c
LEFT JOIN LATERAL (
    SELECT run.*
    FROM (
        SELECT
            candidate.*,
            count(*) OVER () AS found,
            sum(octet_length(content_sealed) + COALESCE(octet_length(metadata_sealed), 0))
                OVER (ORDER BY sequence DESC ROWS UNBOUNDED PRECEDING) AS bytes_through
        FROM (
            SELECT
                message_id, sequence, role, channel, content_sealed, emotion_score, emotion_label, emotion_detected,
                metadata_sealed, sent_at, stored_at, input_tokens, output_tokens
            FROM messages
            WHERE conversation_id = $1 AND sequence > $2 AND sequence < $3
            ORDER BY sequence DESC
            LIMIT $4
        ) AS candidate
    ) AS run
    WHERE bytes_through <= $5
) AS page ON true
WHERE c.conversation_id = $1
ORDER BY page.sequence DESC
