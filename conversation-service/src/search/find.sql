-- SearchMessages: the messages of conversations $1 that have all words, by the conversations' positions $3, and in each
-- the newest first. $2 hashes of the words in each conversation; one is there several times when the ring has several
-- keys. Of the first conversation only messages before sequence $4. $5 limit, $6 most bytes, unless the first is larger.
--
-- `found` counts the messages, at most $5.
WITH found AS MATERIALIZED (           -- by the words alone: a hash belongs to one conversation
    SELECT w.position, f.conversation_id, f.sequence
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS w (conversation_id, tokens, position)
    CROSS JOIN LATERAL (
        SELECT conversation_id, sequence
        FROM message_search
        WHERE tokens @> w.tokens::bigint[]
        OFFSET 0                       -- not by the primary key, which would read the whole conversation
    ) AS f
    WHERE f.conversation_id = w.conversation_id AND (w.position > 1 OR f.sequence < $4)
    ORDER BY w.position, f.sequence DESC
    LIMIT $5
),
read AS (
    SELECT f.position, m.*,
           count(*) OVER () AS found,
           row_number() OVER (ORDER BY f.position, f.sequence DESC) AS number,
           sum(COALESCE(octet_length(m.content_sealed), 0) + COALESCE(octet_length(m.parts_sealed), 0)
               + COALESCE(octet_length(m.metadata_sealed), 0))
               OVER (ORDER BY f.position, f.sequence DESC ROWS UNBOUNDED PRECEDING) AS bytes_through
    FROM found AS f
    CROSS JOIN LATERAL (
        SELECT * FROM messages WHERE conversation_id = f.conversation_id AND sequence = f.sequence LIMIT 1
    ) AS m
)
SELECT r.position AS "position!", r.found AS "found!", m AS "message!: MessageRow"
FROM read AS r
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE conversation_id = r.conversation_id AND sequence = r.sequence LIMIT 1
) AS m
WHERE r.bytes_through <= $6 OR r.number = 1
ORDER BY r.number
