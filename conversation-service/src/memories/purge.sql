-- Removes memories that expired before $1: the longest expired first, a bounded number; and their users, if these have no
-- other memories.
--
-- Always one row. Concurrent replicas skip each other's rows and never wait. If a memory of such a user is set at the same
-- moment, this fails on user_memories_user_fkey, and the next run leaves the user.
WITH removed AS (
    DELETE FROM user_memories
    WHERE memory_id = ANY (ARRAY(
        SELECT memory_id
        FROM user_memories
        WHERE expires_at <= $1
        ORDER BY expires_at
        LIMIT 1000
        FOR UPDATE SKIP LOCKED))
    RETURNING memory_id, memory_user_id, $1::timestamptz - expires_at AS overdue
),
forgotten AS (
    DELETE FROM memory_users
    WHERE memory_user_id = ANY (ARRAY(
        SELECT u.memory_user_id
        FROM (SELECT DISTINCT memory_user_id FROM removed) AS r
        CROSS JOIN LATERAL (
            SELECT memory_user_id FROM memory_users WHERE memory_user_id = r.memory_user_id LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS u
        WHERE NOT EXISTS (
            SELECT
            FROM user_memories
            WHERE memory_user_id = r.memory_user_id AND memory_id <> ALL (ARRAY(SELECT memory_id FROM removed)))))
)
SELECT count(*) AS "removed!", COALESCE(EXTRACT(epoch FROM max(overdue)), 0)::double precision AS "overdue_seconds!"
FROM removed
