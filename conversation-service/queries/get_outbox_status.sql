-- GetOutboxStatus at $1. Published events are not kept, so what is counted is the backlog; of that at most the
-- first 100,000, and 100,000 dead letters.
SELECT
    d.last_delivered_at,
    live.pending AS "pending!",
    live.leased AS "leased!",
    live.oldest_at,
    dead.count AS "dead!"
FROM outbox_destinations AS d
CROSS JOIN LATERAL (
    SELECT count(*) AS pending, count(*) FILTER (WHERE lease_expires_at > $1) AS leased, min(occurred_at) AS oldest_at
    FROM (
        SELECT lease_expires_at, occurred_at
        FROM outbox_messages
        WHERE dead_at IS NULL
        ORDER BY next_attempt_at
        LIMIT 100000
    ) AS counted
) AS live
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (SELECT FROM outbox_messages WHERE dead_at IS NOT NULL ORDER BY dead_at, dead_letter_id LIMIT 100000) AS counted
) AS dead
WHERE d.destination = 'event-stream'
