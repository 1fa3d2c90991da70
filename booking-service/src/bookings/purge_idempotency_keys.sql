-- Removes idempotency keys from before $1, the oldest first, a bounded number.
--
-- Always one row. `more`: as many were removed as one run may remove. Concurrent replicas skip each other's locked rows
-- and never wait. A locked row keeps its ctid until the end of the statement, so the rows are deleted by ctid: this is
-- fast for any plan.
WITH old AS (
    DELETE FROM idempotency_keys
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
    RETURNING $1::timestamptz - created_at AS overdue
)
SELECT
    count(*) AS "removed!",
    count(*) = 1000 AS "more!",
    -- how long the oldest removed key was overdue
    COALESCE(EXTRACT(epoch FROM max(overdue)), 0)::double precision AS "overdue_seconds!"
FROM old
