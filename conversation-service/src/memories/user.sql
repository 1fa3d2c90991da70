-- The row of the user with one of the hashes $1, one for each key of the ring; if there is none, a new one with the id $2,
-- the first hash and the sealed id of the user $3. $4 now. If a concurrent call makes it first, this fails on
-- memory_users_hash, and the next run finds it.
WITH found AS MATERIALIZED (
    SELECT memory_user_id, user_sealed FROM memory_users WHERE user_hash = ANY ($1::bytea[])
),
created AS (
    INSERT INTO memory_users (memory_user_id, user_hash, user_sealed, created_at)
    SELECT $2, ($1)[1], $3, $4
    WHERE NOT EXISTS (SELECT FROM found)
    RETURNING memory_user_id, user_sealed
)
SELECT memory_user_id AS "memory_user_id!", user_sealed AS "user_sealed!" FROM found
UNION ALL
SELECT memory_user_id, user_sealed FROM created
