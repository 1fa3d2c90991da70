-- Deletes up to 1,000 Stripe events that were done before $1, the oldest first. Dead letters stay, because an operator
-- has not yet accounted for their money.
--
-- Always returns one row; `more` is true when 1,000 were deleted. Concurrent replicas skip each other's rows and never
-- wait. A locked row keeps its ctid until the end of the statement, so the row is found by it under any plan.
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
    -- how long ago the oldest of them became due for deletion
    COALESCE(EXTRACT(epoch FROM max(overdue)), 0)::double precision AS "overdue_seconds!"
FROM old
