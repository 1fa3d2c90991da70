-- The next messages of conversation $1 for a stream that has sent those up to $2: at most $3, and so many that they are
-- not larger than $4 bytes together, but one at least. It returns no row when there is no such conversation, and one
-- row without a message when there is no other.
SELECT c.created_at AS "created_at!", c.message_count AS "message_count!", page AS "message?: MessageRow"
FROM conversations AS c
LEFT JOIN LATERAL (
    SELECT run.*
    FROM (
        SELECT
            candidate.*,
            sum(COALESCE(octet_length(content_sealed), 0) + COALESCE(octet_length(parts_sealed), 0)
                + COALESCE(octet_length(metadata_sealed), 0))
                OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS bytes_through
        FROM (
            SELECT *
            FROM messages
            WHERE conversation_id = $1 AND sequence > $2
            ORDER BY sequence
            LIMIT $3
        ) AS candidate
    ) AS run
    WHERE bytes_through <= $4 OR sequence = $2 + 1
) AS page ON true
WHERE c.conversation_id = $1
ORDER BY page.sequence
