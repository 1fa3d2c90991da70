-- Removes idempotency keys that were created before $1 and follow-ups that finished before $2: the oldest first, a
-- bounded number of each.
--
-- Always one row. `more` is true when the bound was reached. Concurrent replicas skip each other's rows and never wait.
-- A locked row cannot move until the end of the statement, so it is deleted by its ctid. That is fast independent of
-- the planner's estimates.
WITH old_keys AS (
    DELETE FROM idempotency_keys
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
    RETURNING $1::timestamptz - created_at AS overdue
),
old_follow_ups AS (
    DELETE FROM follow_ups
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM follow_ups WHERE finished_at < $2 ORDER BY finished_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
    RETURNING $2::timestamptz - finished_at AS overdue
)
SELECT
    k.removed AS "keys!",
    f.removed AS "follow_ups!",
    k.removed = 1000 OR f.removed = 1000 AS "more!",
    -- the time for which the oldest of them could have been removed
    COALESCE(EXTRACT(epoch FROM GREATEST(k.overdue, f.overdue)), 0)::double precision AS "overdue_seconds!"
FROM (SELECT count(*) AS removed, max(overdue) AS overdue FROM old_keys) AS k,
     (SELECT count(*) AS removed, max(overdue) AS overdue FROM old_follow_ups) AS f
