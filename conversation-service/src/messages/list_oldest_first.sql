-- A page of a conversation's messages, the oldest first. It returns no row when there is no such conversation, and one
-- row of nulls when the page is empty. `found` counts the messages in the range, at most $4. Fewer rows are returned if
-- they would exceed $5 bytes together.
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
                OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS bytes_through
        FROM (
            SELECT *
            FROM messages
            WHERE conversation_id = $1 AND sequence > $2 AND sequence < $3
            ORDER BY sequence
            LIMIT $4
        ) AS candidate
    ) AS run
    WHERE bytes_through <= $5
) AS page ON true
WHERE c.conversation_id = $1
ORDER BY page.sequence
