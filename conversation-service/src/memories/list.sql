-- A page of a user's memories that are not expired at $3, in the order in which they were last set. $1 hashes of the user,
-- one for each key of the ring, $2 the last memory of the page before, $4 limit.
SELECT u.memory_user_id AS "memory_user_id!", u.user_sealed AS "user_sealed!", m AS "memory!: MemoryRow"
FROM memory_users AS u
CROSS JOIN LATERAL (
    SELECT *
    FROM user_memories
    WHERE memory_user_id = u.memory_user_id AND (expires_at IS NULL OR expires_at > $3)
      AND memory_id > COALESCE($2::uuid, '00000000-0000-0000-0000-000000000000')
    ORDER BY memory_id
    LIMIT $4
) AS m
WHERE u.user_hash = ANY ($1::bytea[])
ORDER BY m.memory_id
