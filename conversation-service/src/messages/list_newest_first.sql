-- A page of a conversation's messages, the newest first; otherwise like list_oldest_first.sql.
SELECT page.found AS "found?", page AS "message?: MessageRow"
FROM conversations AS c
LEFT JOIN LATERAL (
    SELECT run.*
    FROM (
        SELECT
            candidate.*,
            count(*) OVER () AS found,
            sum(COALESCE(octet_length(content_sealed), 0) + COALESCE(octet_length(parts_sealed), 0)
                + COALESCE(octet_length(metadata_sealed), 0))
                OVER (ORDER BY sequence DESC ROWS UNBOUNDED PRECEDING) AS bytes_through
        FROM (
            SELECT *
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
