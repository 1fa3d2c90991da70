-- Removes events of Stripe's that were done before $1, the oldest first, a bounded number. What was set aside
-- stays: it is about money that nobody has accounted for.
--
-- Always one row. `more` when as many were removed as may be. Replicas that run at once pass over each
-- other's rows and never wait. A locked row stays where it is until the end of the statement, so it is found
-- by its place, whatever the planner thinks of the table.
WITH old AS (
    DELETE FROM stripe_events
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM stripe_events WHERE state = 'DONE' AND settled_at < $1
        ORDER BY settled_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
    RETURNING $1::timestamptz - settled_at AS overdue
)
SELECT
    count(*) AS "removed!",
    count(*) = 1000 AS "more!",
    -- for how long the oldest of them could have been removed
    COALESCE(EXTRACT(epoch FROM max(overdue)), 0)::double precision AS "overdue_seconds!"
FROM old
