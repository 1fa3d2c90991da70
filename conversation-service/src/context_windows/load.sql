-- What a context window is chosen from: $1 conversation, $2 number of newest messages, $3 what these may take in bytes,
-- $4 from how many bytes on no further system message is read.
--
-- No row when there is no such conversation. A row for each of the newest messages, and for at most 21 system messages
-- before these. The summary is in the row of the newest message only: it would be repeated in every row.
--
-- Both lists end at their limits, so that the length of the conversation does not matter.
SELECT
    c.message_count AS "message_count!",
    CASE WHEN COALESCE(candidate.sequence, c.message_count) = c.message_count THEN summary END AS "summary?: _",
    candidate AS "message?: _"
FROM conversations AS c
LEFT JOIN LATERAL (
    SELECT * FROM conversation_summaries WHERE conversation_id = $1
) AS summary ON true
LEFT JOIN LATERAL (
    WITH newest AS MATERIALIZED (
        SELECT *
        FROM (
            SELECT *, sum(bytes) OVER (ORDER BY sequence DESC ROWS UNBOUNDED PRECEDING) AS bytes_through
            FROM (
                SELECT *, COALESCE(octet_length(content_sealed), 0) + COALESCE(octet_length(parts_sealed), 0)
                    + COALESCE(octet_length(metadata_sealed), 0) AS bytes
                FROM messages
                WHERE conversation_id = $1
                ORDER BY sequence DESC
                LIMIT $2
            ) AS m
        ) AS run
        WHERE bytes_through <= $3
    )
    SELECT * FROM newest
    UNION ALL
    SELECT *
    FROM (
        SELECT *, sum(bytes) OVER (ORDER BY sequence DESC ROWS UNBOUNDED PRECEDING) AS bytes_through
        FROM (
            SELECT *, COALESCE(octet_length(content_sealed), 0) + COALESCE(octet_length(parts_sealed), 0)
                + COALESCE(octet_length(metadata_sealed), 0) AS bytes
            FROM messages
            -- by the index messages_system
            WHERE conversation_id = $1 AND role = 'SYSTEM' AND sequence < (SELECT min(sequence) FROM newest)
            ORDER BY sequence DESC
            LIMIT 21
        ) AS m
    ) AS system
    WHERE bytes_through - bytes <= $4
) AS candidate ON true
WHERE c.conversation_id = $1
ORDER BY candidate.sequence
