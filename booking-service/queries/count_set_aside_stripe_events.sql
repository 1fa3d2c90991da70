-- How many events of Stripe's are set aside, and since when the oldest is: one row, of at most the first 10,000.
SELECT count(*) AS "count!", min(settled_at) AS oldest_at
FROM (
    SELECT settled_at
    FROM stripe_events
    WHERE state = 'SET_ASIDE'
    ORDER BY settled_at, event_id
    LIMIT 10000
) AS counted
