-- verify-events: the next checkpoints after number $1, in order: at most $2, and at most about $3 bytes of entries, but
-- at least one. The lengths are known without reading the entries.
WITH page AS MATERIALIZED (
    SELECT number, sum(length) OVER (ORDER BY number) - length AS bytes_before
    FROM (
        SELECT number, octet_length(entries) AS length FROM event_checkpoints WHERE number > $1 ORDER BY number LIMIT $2
    ) AS following
)
SELECT c.number AS "number!", c.entries AS "entries!", c.event_count AS "event_count!",
       c.booking_count AS "booking_count!", c.created_at AS "created_at!", c.digest AS "digest!",
       c.key_version AS "key_version!", c.mac AS "mac!"
FROM page
CROSS JOIN LATERAL (SELECT * FROM event_checkpoints WHERE number = page.number OFFSET 0) AS c
WHERE page.bytes_before < $3
ORDER BY c.number
