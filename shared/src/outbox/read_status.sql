-- GetOutboxStatus at time $1. Delivered messages are not kept, so this counts only the backlog: up to 100,000 messages
-- for each destination, and up to 100,000 dead letters.
WITH dead AS MATERIALIZED (
    SELECT destination, count(*) AS count
    FROM (
        SELECT destination
        FROM outbox_messages
        WHERE dead_at IS NOT NULL
        ORDER BY dead_at, dead_letter_id
        LIMIT 100000
    ) AS counted
    GROUP BY destination
)
SELECT
    d.destination,
    d.last_delivered_at,
    live.pending AS "pending!",
    live.leased AS "leased!",
    live.oldest_at,
    COALESCE(floor(EXTRACT(epoch FROM GREATEST($1 - live.oldest_at, interval '0'))), 0)::bigint AS "lag_seconds!",
    COALESCE((SELECT count FROM dead WHERE dead.destination = d.destination), 0) AS "dead!"
FROM outbox_destinations d
CROSS JOIN LATERAL (
    SELECT count(*) AS pending, count(*) FILTER (WHERE lease_expires_at > $1) AS leased, min(created_at) AS oldest_at
    FROM (
        SELECT lease_expires_at, created_at
        FROM outbox_messages
        WHERE destination = d.destination AND dead_at IS NULL
        ORDER BY next_attempt_at
        LIMIT 100000
    ) AS counted
) AS live
ORDER BY d.destination
