-- The backlog for the metrics: one row a destination, read by indexes. Counts stop at 10,000. The age is that of the
-- oldest counted message.
WITH dead AS MATERIALIZED (
    SELECT destination, count(*) AS count
    FROM (
        SELECT destination FROM outbox_messages WHERE dead_at IS NOT NULL ORDER BY dead_at, dead_letter_id LIMIT 10000
    ) AS counted
    GROUP BY destination
)
SELECT
    d.destination,
    live.pending AS "pending!",
    live.oldest_at AS "oldest_at?",
    COALESCE((SELECT count FROM dead WHERE dead.destination = d.destination), 0) AS "dead!"
FROM outbox_destinations AS d
CROSS JOIN LATERAL (
    SELECT count(*) AS pending, min(created_at) AS oldest_at
    FROM (
        SELECT created_at
        FROM outbox_messages
        WHERE destination = d.destination AND dead_at IS NULL
        ORDER BY next_attempt_at
        LIMIT 10000
    ) AS counted
) AS live
