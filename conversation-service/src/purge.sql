-- Removes what nobody asks for any more: idempotency keys made before $1 and follow-ups finished before $2,
-- the oldest first, a bounded number of each.
--
-- Always one row. `more` when as many were removed as may be. Replicas that run at once pass over each
-- other's rows and never wait. A locked row stays where it is until the end of the statement, so it is found
-- by its place, whatever the planner thinks of the tables.
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
    -- for how long the oldest of them could have been removed
    COALESCE(EXTRACT(epoch FROM GREATEST(k.overdue, f.overdue)), 0)::double precision AS "overdue_seconds!"
FROM (SELECT count(*) AS removed, max(overdue) AS overdue FROM old_keys) AS k,
     (SELECT count(*) AS removed, max(overdue) AS overdue FROM old_follow_ups) AS f
