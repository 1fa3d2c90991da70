-- GetOutboxStatus at $1, for Stripe events: one row, read by indexes. Counts stop at 100,000, and the age is that of
-- the oldest counted event.
SELECT
    waiting.count AS "pending!",
    waiting.leased AS "leased!",
    waiting.oldest_at AS "oldest_at?",
    COALESCE(floor(EXTRACT(epoch FROM GREATEST($1 - waiting.oldest_at, interval '0'))), 0)::bigint AS "lag_seconds!",
    (SELECT count(*) FROM (
        SELECT FROM stripe_events WHERE state = 'SET_ASIDE' ORDER BY settled_at, dead_letter_id LIMIT 100000
    ) AS counted) AS "dead!",
    (SELECT settled_at FROM stripe_events WHERE state = 'DONE' ORDER BY settled_at DESC LIMIT 1) AS "last_delivered_at?"
FROM (
    SELECT count(*) AS count, count(*) FILTER (WHERE lease_expires_at > $1) AS leased, min(received_at) AS oldest_at
    FROM (
        SELECT lease_expires_at, received_at
        FROM stripe_events
        WHERE state = 'WAITING'
        ORDER BY next_attempt_at, event_id
        LIMIT 100000
    ) AS counted
) AS waiting
